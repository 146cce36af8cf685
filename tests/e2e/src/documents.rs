//! Documents of Automerge in a bucket: two people edit one text with that library, knowing nothing of each other, and both edits are
//! in what either reads next.

use std::fs;
use std::path::Path;

use automerge::transaction::Transactable;
use automerge::{AutoCommit, ObjType, ROOT, ReadDoc};
use kinfold_client::{Bucket, Client};

use crate::site::Site;

const PREBUILT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/prebuilt");

/// Reads the document as the library reads a file.
async fn open(bucket: &Bucket) -> AutoCommit {
    AutoCommit::load(bucket.get("letter").r(1).await.unwrap().one().unwrap().unwrap()).unwrap()
}

fn text(document: &AutoCommit) -> String {
    let (_, text) = document.get(ROOT, "text").unwrap().unwrap();
    document.text(&text).unwrap()
}

fn splice(document: &mut AutoCommit, at: usize, gone: isize, new: &str) {
    let (_, text) = document.get(ROOT, "text").unwrap().unwrap();
    document.splice_text(&text, at, gone, new).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_edits_of_one_text_made_apart_are_both_there() {
    let site = Site::new(1, "");
    let file = "automerge-document.wasm";
    fs::copy(Path::new(PREBUILT).join(file), site.path("plugins").join(file)).unwrap();
    let _nodes = site.start_all();
    let create = ["bucket", "create", "letters", "--merge", "automerge-document"];
    site.boss(create.into_iter().chain(["--mode", "lattice", "--tombstones", "reset"])).ends(0);
    let client = Client::connect(site.options()).await.unwrap();
    let letters = client.bucket("letters").unwrap();

    let mut draft = AutoCommit::new();
    let body = draft.put_object(ROOT, "text", ObjType::Text).unwrap();
    draft.splice_text(&body, 0, 0, "Dear Ada, come to Rome.").unwrap();
    letters.put("letter", draft.save()).await.unwrap();

    let (mut one, mut other) = (open(&letters).await, open(&letters).await);
    splice(&mut one, 5, 3, "Bea");
    splice(&mut other, 22, 0, " in spring");
    // One puts the whole document, the other only what changed.
    letters.put("letter", one.save()).await.unwrap();
    letters.put("letter", other.save_incremental()).await.unwrap();

    let mut merged = open(&letters).await;
    assert_eq!(text(&merged), "Dear Bea, come to Rome in spring.");
    // And on: a third edit on top of both.
    splice(&mut merged, 0, 4, "Dearest");
    letters.put("letter", merged.save_incremental()).await.unwrap();
    assert_eq!(text(&open(&letters).await), "Dearest Bea, come to Rome in spring.");
    client.close().await;
}
