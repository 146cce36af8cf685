//! Every kind of file that a node keeps or is given, damaged while it is stopped: it serves nothing wrong, and does not panic. Either it
//! goes on and is healed, or it says which file it is, and what to do.
//!
//! The kinds are found by a walk through real data directories, of a node of the founding and of one that joined: a file that no rule
//! knows fails the test, so that whoever adds one has to say here what becomes of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinfold_client::{Client, Consistency};
use tokio::task::JoinSet;

use crate::program::kinfold;
use crate::site::{Node, Site, eventually};

/// What a node may do that finds such a file damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Nobody reads what is in it.
    Ignores,
    /// It goes on, and what is lost comes from others; or it names the file and says what to do.
    HealsOrSays(&'static [&'static str]),
    /// What is in it still may be right, or is refused with one of these words.
    MayHold(&'static [&'static str]),
    /// Nobody else has what was in it: it names the file and says what to do.
    Says(&'static [&'static str]),
}

/// What the store says of files of the engine's own.
const STORE: &[&str] = &["the store can't be read", "move its directory away"];

/// The rule for a file, by its path below the data directory.
fn rule(path: &str) -> Option<(&'static str, Rule)> {
    let parts: Vec<&str> = path.split('/').collect();
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    Some(match parts[..] {
        ["lock"] => ("lock", Rule::Ignores),
        ["identity.toml"] => ("identity", Rule::MayHold(&["identity.toml", "belongs to node"])),
        ["joined"] => ("joined", Rule::Says(&["joined", "begin anew in an empty data_dir"])),
        ["components", name] if name.ends_with(".wasm") => ("component", Rule::HealsOrSays(&[])),
        ["compiled", name] if name.ends_with(".code") => {
            ("compiled component", Rule::HealsOrSays(&[]))
        }
        ["store", "lock"] => ("lock of the store", Rule::Ignores),
        ["store", "version"] => ("format of the store", Rule::HealsOrSays(STORE)),
        ["store", name] if name.strip_suffix(".jnl").is_some_and(number) => {
            ("journal", Rule::HealsOrSays(STORE))
        }
        ["store", "keyspaces", _, "current"] => ("pointer to a manifest", Rule::HealsOrSays(STORE)),
        ["store", "keyspaces", _, name] if name.strip_prefix('v').is_some_and(number) => {
            ("manifest of the engine", Rule::HealsOrSays(STORE))
        }
        ["store", "keyspaces", _, "tables", name] if number(name) => {
            ("table", Rule::HealsOrSays(STORE))
        }
        ["store", "keyspaces", _, "blobs", name] if number(name) => {
            ("values", Rule::HealsOrSays(STORE))
        }
        _ => return None,
    })
}

/// The rule for a file that is beside the data directory: what an operator hands to a node, or what a node that joins was told.
fn given(path: &str) -> Option<(&'static str, Rule)> {
    Some(match path {
        "n1.toml" => ("configuration", Rule::MayHold(&["n1.toml", "members", "certificates"])),
        "n1.pem" => ("certificate", Rule::MayHold(&["n1.pem"])),
        "n1.key" => ("key", Rule::MayHold(&["n1.key", "n1.pem"])),
        "ca.pem" => ("authority", Rule::MayHold(&["ca.pem", "n1.pem"])),
        "node.toml" => ("configuration of who joined", Rule::MayHold(&["node.toml"])),
        "node.pem" => ("certificate of who joined", Rule::MayHold(&["node.pem"])),
        "node.key" => ("key of who joined", Rule::MayHold(&["node.key", "node.pem"])),
        // Read once, when it asked to join.
        "profile.toml" => ("profile of who joined", Rule::Ignores),
        _ => return None,
    })
}

/// Every file below a folder, by its path from there.
fn walk(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let path = path.strip_prefix(folder).unwrap();
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Does this `current` of the engine, which begins with a number, name this manifest?
fn names(current: &Path, manifest: &Path) -> bool {
    let bytes = fs::read(current).unwrap();
    let number = u64::from_le_bytes(*bytes.first_chunk().unwrap());
    manifest.ends_with(format!("v{number}"))
}

/// Chance that is the same on every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % most.max(1)
    }
}

#[derive(Clone, Copy, Debug)]
enum Harm {
    /// A bit is another.
    Flip,
    /// The second part is gone.
    Cut,
    /// Two stretches have changed places.
    Swap,
    /// Nothing is left of it.
    Empty,
}

const HARMS: [Harm; 4] = [Harm::Flip, Harm::Cut, Harm::Swap, Harm::Empty];

impl Harm {
    /// What is left of a file of these bytes.
    fn of(self, bytes: &[u8], chance: &mut Chance) -> Vec<u8> {
        let text = bytes.is_ascii();
        let mut bytes = bytes.to_vec();
        // Not in the room that a journal has before it.
        let len = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        match self {
            // The highest bit of a text: another letter would make another configuration, as an operator's change does.
            Self::Flip if len > 0 && text => bytes[chance.below(len)] ^= 0x80,
            Self::Flip if len > 0 => bytes[chance.below(len)] ^= 1 << chance.below(8),
            Self::Cut => bytes.truncate(chance.below(len)),
            Self::Swap if len > 1 => {
                let half = len / 2;
                let length = 1 + chance.below(half.min(512));
                let (a, b) =
                    (chance.below(half - length + 1), half + chance.below(half - length + 1));
                for at in 0..length {
                    bytes.swap(a + at, b + at);
                }
            }
            Self::Empty => bytes.clear(),
            Self::Flip | Self::Swap => {}
        }
        bytes
    }
}

const KEYS: usize = 60;

/// How long a read waits for a node that does not answer.
const PATIENT: Duration = Duration::from_secs(2);

fn key(number: usize) -> String {
    format!("key-{number}")
}

/// A value that nobody mistakes for another's; every third one is stored beside the tables.
fn value(number: usize) -> Bytes {
    let length = if number.is_multiple_of(3) { 3_000 } else { 100 };
    key(number).bytes().cycle().take(length).collect()
}

/// Reads every key from either owner: both acknowledged each, so neither may answer that there is nothing. Gives how many reads were
/// refused, which is not wrong.
async fn all_are_right(client: &Client, what: &str) -> usize {
    let mut reads = JoinSet::new();
    for consistency in [Consistency::Sloppy, Consistency::Strict] {
        for number in (0..KEYS).chain(0..KEYS) {
            let pairs = client.bucket("pairs").unwrap();
            reads.spawn(async move {
                let get = pairs.get(key(number)).consistency(consistency).r(1);
                (number, get.deadline(PATIENT).await)
            });
        }
    }
    let mut refused = 0;
    while let Some(read) = reads.join_next().await {
        match read.unwrap() {
            (number, Ok(found)) => assert_eq!(found.values, [value(number)], "{what}: {number}"),
            (_, Err(error)) => {
                if refused == 0 {
                    eprintln!("{error}");
                }
                refused += 1;
            }
        }
    }
    match client.bucket("boards").unwrap().get("spring").r(2).deadline(PATIENT).await {
        Ok(found) => assert_eq!(found.values, ["ada\t1"], "{what}"),
        Err(_) => refused += 1,
    }
    refused
}

/// A file to be harmed, of the node that reads it.
struct Victim {
    node: &'static str,
    kind: &'static str,
    path: PathBuf,
    rule: Rule,
}

/// Nodes with data of every kind, stopped: `n1`, and `n4` that has asked to join.
struct Stage {
    // Before the folder that their logs are in.
    others: Vec<Node>,
    site: Site,
    token: String,
    client: Client,
}

impl Stage {
    async fn set() -> Self {
        let settings = "storage = { cache_mib = 8, memtable_mib = 1, reserve_mib = 64 }";
        let site = Site::new(3, settings);
        let mut others = site.start_all();
        let leaderboard =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/prebuilt/leaderboard.wasm");
        site.boss(["plugin", "install", leaderboard, "--cases", "16"]).ends(0);
        site.boss(["bucket", "create", "boards", "--merge", "leaderboard@1.0.0"]).ends(0);
        let pairs = ["--n", "2", "--w", "2", "--r", "1", "--consistency", "strict"];
        site.boss([&["bucket", "create", "pairs"], &pairs[..]].concat()).ends(0);
        site.boss(["bucket", "create", "bulk"]).ends(0);
        let client = Client::connect(site.options()).await.unwrap();
        let (things, bulk) = (client.bucket("pairs").unwrap(), client.bucket("bulk").unwrap());
        for number in 0..KEYS {
            things.put(key(number), value(number)).await.unwrap();
        }
        client.bucket("boards").unwrap().put("spring", "ada\t1").await.unwrap();
        // Until the tables and the values have files of their own.
        let store = site.path("n1");
        for number in 0.. {
            let files = walk(&store);
            if ["/tables/", "/blobs/"].iter().all(|kind| files.iter().any(|f| f.contains(kind))) {
                break;
            }
            assert!(number < 4_000, "nothing is written out: {files:?}");
            let noise: Vec<u8> = value(number).iter().map(|b| b.wrapping_mul(31)).collect();
            bulk.put(key(number), noise.repeat(8)).w(3).await.unwrap();
        }
        // Some that are in the journal alone.
        for number in 0..KEYS / 2 {
            let context = things.get(key(number)).await.unwrap().context;
            things.put(key(number), value(number)).context(context).await.unwrap();
        }
        let ca = site.path("").display().to_string();
        let run = kinfold(["cluster", "token", "n4", "--ca", &ca], b"").ends(0);
        let token = run.text().trim().to_owned();
        let newcomer = site.join("n4", &token);
        eventually("the node asks to join", || {
            let status = site.boss(["cluster", "status", "--json"]).ends(0).json();
            status["staged"].to_string().contains("n4 at")
        });
        // Before it serves, a signal ends it as any process.
        newcomer.actor();
        assert!(newcomer.terminate().success());
        assert!(others.remove(0).terminate().success());
        Self { others, site, token, client }
    }

    /// One file of each kind, and all kinds that there are.
    fn victims(&self, chance: &mut Chance) -> Vec<Victim> {
        let mut kinds: BTreeMap<&'static str, Vec<Victim>> = BTreeMap::new();
        let (n1, n4) = (self.site.path("n1"), self.site.path("n4"));
        let first = walk(&n1).into_iter().map(|name| ("n1", n1.join(&name), rule(&name)));
        let handed = ["n1.toml", "n1.pem", "n1.key", "ca.pem"];
        let handed = handed.map(|name| ("n1", self.site.path(name), given(name)));
        let joined = walk(&n4).into_iter().map(|name| {
            let rule = name.strip_prefix("data/").map_or_else(|| given(&name), rule);
            ("n4", n4.join(&name), rule)
        });
        for (node, path, rule) in first.chain(handed).chain(joined) {
            // Of manifests the last one counts; the engine clears the others away some time.
            let current = path.with_file_name("current");
            let rule = match rule {
                Some(("manifest of the engine", _)) if !names(&current, &path) => {
                    Some(("manifest of before", Rule::Ignores))
                }
                rule => rule,
            };
            let Some((kind, rule)) = rule else {
                panic!("{}: no rule says what a node does with a damaged one", path.display());
            };
            let of = kinds.entry(kind).or_default();
            // What both have, the one with data has.
            if node == "n1" || of.iter().all(|victim: &Victim| victim.node == "n4") {
                of.push(Victim { node, kind, path, rule });
            }
        }
        // Of tables the largest: some have next to nothing in them.
        kinds
            .into_values()
            .map(|mut of| {
                of.sort_by_key(|victim| fs::metadata(&victim.path).unwrap().len());
                let upper = of.len() / 2;
                let at = upper + chance.below(of.len() - upper);
                of.swap_remove(at)
            })
            .collect()
    }

    fn start(&self, node: &str) -> Node {
        if node == "n4" { self.site.join("n4", &self.token) } else { self.site.start(node) }
    }
}

impl Stage {
    /// Starts the node that reads the harmed file, and holds it to the rule.
    async fn hold(&self, victim: &Victim, what: &str) {
        let log = self.site.path(&format!("{}.log", victim.node));
        let _ = fs::remove_file(&log);
        let begun = Instant::now();
        let mut node = self.start(victim.node);
        let mut ended: Option<ExitStatus> = None;
        eventually(what, || {
            ended = node.ended();
            let told = node.log();
            ended.is_some() || told.contains("\"started\"")
        });
        let mut refused = 0;
        if ended.is_none() && victim.node == "n1" {
            refused = all_are_right(&self.client, what).await;
            ended = node.ended();
        }
        let log = node.log();
        assert!(!log.contains("panicked at"), "{what}: {log}");
        let took = begun.elapsed().as_secs_f32();
        match ended {
            None => eprintln!("{what}: goes on, {refused} reads refused, {took:.1} s"),
            Some(status) => eprintln!(
                "{what}: {status}, {took:.1} s: {}",
                log.lines().last().unwrap_or_default()
            ),
        }
        match (victim.rule, ended) {
            (Rule::Ignores, ended) => assert_eq!(ended, None, "{what}: {log}"),
            (Rule::HealsOrSays(_) | Rule::MayHold(_), None) => {}
            (Rule::Says(_), None) => panic!("{what}: it goes on: {log}"),
            (Rule::HealsOrSays(words) | Rule::Says(words), Some(status)) => {
                assert!(matches!(status.code(), Some(1 | 2)), "{what}: {status}: {log}");
                assert!(words.iter().all(|word| log.contains(word)), "{what}: {log}");
            }
            (Rule::MayHold(words), Some(status)) => {
                assert!(matches!(status.code(), Some(1 | 2)), "{what}: {status}: {log}");
                assert!(words.iter().any(|word| log.contains(word)), "{what}: {log}");
            }
        }
    }
}

/// In each kind of file one kind of damage, each in its turn; all of them where KINFOLD_DAMAGE_TIMES says how often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_damaged_file_of_any_kind_makes_a_node_serve_what_is_wrong() {
    let stage = Stage::set().await;
    let number = |name| std::env::var(name).ok().map(|number| number.parse().unwrap());
    let times: Option<u64> = number("KINFOLD_DAMAGE_TIMES");
    let mut chance = Chance(number("KINFOLD_DAMAGE_SEED").unwrap_or(0x6b69_6e66_6f6c_6421));
    let folders = ["n1", "n4"].map(|name| {
        let (folder, kept) = (stage.site.path(name), stage.site.path(&format!("{name}.kept")));
        copy(&folder, &kept);
        (folder, kept)
    });
    for time in 0..times.unwrap_or(1) {
        for victim in &stage.victims(&mut chance) {
            let one = [HARMS[chance.below(HARMS.len())]];
            let harms = if times.is_some() { &HARMS[..] } else { &one };
            for harm in harms {
                let sound = fs::read(&victim.path).unwrap();
                let bytes = harm.of(&sound, &mut chance);
                if bytes == sound {
                    continue;
                }
                let path = victim.path.display();
                let what = format!(
                    "{time}: {harm:?} of a {} ({path}, {} bytes)",
                    victim.kind,
                    sound.len()
                );
                fs::write(&victim.path, &bytes).unwrap();
                stage.hold(victim, &what).await;
                fs::write(&victim.path, sound).unwrap();
                for (folder, kept) in &folders {
                    copy(kept, folder);
                }
            }
        }
    }
    assert_eq!(stage.others.len(), 2);
}

/// Copies a folder with all that is in it, in the place of what is there.
fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    let copied = Command::new("cp").arg("-a").arg("--sparse=always").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}
