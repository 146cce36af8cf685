//! What operators and plugin authors hand in: configurations, certificates, tokens, manifests, components, and what a merge gives back;
//! and the keys of the store.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use bytes::Bytes;
use kinfold_componentize::{attach_manifest, componentize};
use kinfold_host::config::{Certificates, Config, Overrides};
use kinfold_host::tls::Credentials;
use kinfold_host::token::Token;
use kinfold_protocol::merge::{MergeInput, MergeRequest, canonical};
use kinfold_protocol::time::Timestamp;
use kinfold_sandbox::{Engine, Limits, Manifest, Plugin};
use tempfile::TempDir;

use crate::Target;

const MIB: usize = 1024 * 1024;

pub(crate) fn targets() -> Vec<Target> {
    vec![
        Target {
            name: "configuration",
            run: configuration,
            seeds: configurations,
            constant: MIB,
            factor: 256,
            tries: 3_000,
        },
        Target {
            name: "manifest",
            run: manifest,
            seeds: || vec![MANIFEST.into()],
            constant: MIB,
            factor: 256,
            tries: 10_000,
        },
        Target {
            name: "pem",
            run: pem,
            seeds: || [CA, CERT, KEY].map(Vec::from).to_vec(),
            constant: MIB,
            factor: 64,
            tries: 3_000,
        },
        Target {
            name: "token",
            run: token,
            seeds: tokens,
            constant: MIB,
            factor: 64,
            tries: 10_000,
        },
        Target {
            name: "store-key",
            run: store_key,
            seeds: store_keys,
            constant: 64 * 1024,
            factor: 64,
            tries: 20_000,
        },
        // Compiling takes what it takes: the compiler's own memory, for one function at a time.
        Target {
            name: "component",
            run: component,
            seeds: || vec![parrot()],
            constant: 64 * MIB,
            factor: 4_096,
            tries: 300,
        },
        Target {
            name: "merge-result",
            run: merge_result,
            seeds: results,
            constant: 4 * MIB,
            factor: 64,
            tries: 2_000,
        },
    ]
}

thread_local! {
    /// Files for the decoders that read files. They are made once: to make and remove them for each input took twenty times as long
    /// as to decode them, and minutes on a disk that others sync.
    static FOLDER: TempDir = tempfile::tempdir().unwrap();
}

/// A file of this name that holds these bytes and nothing else, for its owner alone.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = FOLDER.with(|folder| folder.path().join(name));
    let mut options = OpenOptions::new();
    // Not truncated on opening: the file system would take that for a replacement, and write it out at once.
    options.write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&path).unwrap();
    file.write_all(bytes).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    path
}

fn configuration(bytes: &[u8]) {
    let load = |path: &Path| Config::load(Some(path), |_| None, Overrides::default());
    if let Ok(config) = load(&file("kinfold.toml", bytes)) {
        let again = file("again.toml", config.to_toml().unwrap().as_bytes());
        assert_eq!(load(&again).unwrap(), config);
    }
}

fn configurations() -> Vec<Vec<u8>> {
    let example = include_bytes!("../../../docs/kinfold.example.toml");
    let small = "cluster = 'c'\nnode = 'n1'\ndata_dir = 'd'\nlisten = '127.0.0.1:7400'\npartitions = 64\n\
                 certificates = { ca = 'a', cert = 'b', key = 'c' }\n\
                 [[members]]\nname = 'n1'\naddress = '127.0.0.1:7400'\n";
    vec![example.to_vec(), small.into()]
}

// An authority and a node of its own, made once by `kinfold cert`: the same on every run. Nothing else trusts them.
const CA: &[u8] = include_bytes!("../pem/ca.pem");
const CERT: &[u8] = include_bytes!("../pem/n1.pem");
const KEY: &[u8] = include_bytes!("../pem/n1.key");

/// The bytes in the place of each of the three files that a node reads, beside two that are right.
fn pem(bytes: &[u8]) {
    thread_local! {
        static RIGHT: [PathBuf; 3] =
            [("ca.pem", CA), ("n1.pem", CERT), ("n1.key", KEY)].map(|(name, right)| file(name, right));
    }
    let given = file("given.pem", bytes);
    for at in 0..3 {
        let [ca, cert, key] = [0, 1, 2].map(|number| match number == at {
            true => given.clone(),
            false => RIGHT.with(|right| right[number].clone()),
        });
        if let Err(error) = Credentials::load("hostile", "n1", &Certificates { ca, cert, key }) {
            let said = error.to_string();
            assert!(said.contains(".pem") || said.contains(".key"), "no file is named: {said}");
        }
    }
}

fn token(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(token) = Token::from_text(text) {
        assert!(Token::from_text(&token.to_text()).is_ok_and(|again| again == token));
    }
}

fn tokens() -> Vec<Vec<u8>> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let [ca, cert, key] = [CA, CERT, KEY].map(text);
    let token = Token { cluster: "hostile".into(), node: "n1".into(), ca, cert, key };
    vec![token.to_text().into_bytes()]
}

fn store_key(bytes: &[u8]) {
    for again in kinfold_storage::read_and_written(bytes) {
        assert_eq!(again, bytes);
    }
}

/// A head, a body, a hint, a leaf, a mark.
fn store_keys() -> Vec<Vec<u8>> {
    let head = [&[0, 0, 0, 17, 5], &b"carts"[..], b"alice"].concat();
    vec![
        head.clone(),
        [&head[..], &[9; 16]].concat(),
        [&7_u64.to_be_bytes(), &head[..]].concat(),
        vec![0, 0, 0, 17, 3, 1, 2],
        vec![0, 0, 0, 17, 3, 1, 2, 3, 4, 5, 6, 7, 8],
    ]
}

const MANIFEST: &str = "name = 'parrot'\nversion = '1.0.0'\ndescription = 'says it again'\n\
                        contract = 'resolver'\ntombstones = 'pass'";

fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::parse(bytes) {
        assert!(manifest.name.len() <= 64 && manifest.version.len() <= 32);
    }
}

/// A component that takes its config, byte for byte, for the place and the shape of its result.
fn parrot() -> Vec<u8> {
    let module = wat::parse_str(
        r#"(module
             (memory (export "memory") 2)
             (global $next (mut i32) (i32.const 65536))
             (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
               (global.get $next)
               (global.set $next (i32.and
                 (i32.add (i32.add (global.get $next) (local.get 3)) (i32.const 7))
                 (i32.const -8))))
             (func (export "kinfold:merge/resolver@0.1.0#merge")
               (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
               (memory.copy (i32.const 1024) (local.get 4) (local.get 5))
               (i32.load (i32.const 1024))))"#,
    )
    .unwrap();
    let mut component = componentize(&module).unwrap();
    attach_manifest(&mut component, MANIFEST);
    component
}

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(Limits::default(), 2).unwrap());
static PARROT: LazyLock<Plugin> = LazyLock::new(|| Plugin::load(&ENGINE, &parrot()).unwrap());

fn request(config: &[u8]) -> MergeRequest {
    let input = |value: &'static str, time| MergeInput {
        value: Some(Bytes::from_static(value.as_bytes())),
        time: Timestamp(time),
    };
    MergeRequest {
        plugin: "parrot".into(),
        bucket: "bucket".into(),
        key: Bytes::from_static(b"key"),
        config: Bytes::copy_from_slice(config),
        inputs: canonical(vec![input("a", 1), input("b", 2)]),
    }
}

/// One that is taken may be asked: its answer is a value or a reason.
fn component(bytes: &[u8]) {
    if let Ok(plugin) = Plugin::load(&ENGINE, bytes) {
        let _ = plugin.merge(&request(b"")).result;
    }
}

fn merge_result(bytes: &[u8]) {
    if let Ok(Some(value)) = PARROT.merge(&request(bytes)).result {
        assert!(value.len() <= Limits::default().result);
    }
}

/// A pointer to a result right behind itself, and a result: `ok(some(list))`, `ok(none)`, the errors.
fn results() -> Vec<Vec<u8>> {
    let word = |n: u32| n.to_le_bytes();
    let at = word(1028);
    let ok =
        |some: u32, from: u32, len: u32| [at, word(0), word(some), word(from), word(len)].concat();
    let error = |case: u32| [at, word(1), word(case), word(1024), word(8), word(0)].concat();
    let mut seeds = vec![ok(1, 1024, 16), ok(0, 0, 0), ok(1, 0, 131_072)];
    seeds.extend((0..4).map(error));
    seeds
}
