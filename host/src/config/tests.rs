use std::fs;

use super::draft::DraftCertificates;
use super::*;

const EXAMPLE: &str = include_str!("../../../docs/kinfold.example.toml");

const LEAST: &str = r#"
    cluster = "c1"
    node = "n1"
    data_dir = "data"
    listen = "127.0.0.1:7401"
    certificates = { ca = "/tls/ca.pem", cert = "n1.pem", key = "n1.key" }
    members = [{ name = "n1", address = "127.0.0.1:7401" }, { name = "n2", address = "n2.example:7401" }]
"#;

fn load_with(
    text: &str,
    environment: &[(&str, &str)],
    flags: Overrides,
) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kinfold.toml");
    fs::write(&path, text).unwrap();
    let environment: BTreeMap<_, _> = environment.iter().copied().collect();
    Config::load(Some(&path), |name| environment.get(name).map(OsString::from), flags)
}

fn load(text: &str) -> Result<Config, ConfigError> {
    load_with(text, &[], Overrides::default())
}

/// What is said about the least configuration with one text replaced.
fn said(from: &str, to: &str) -> String {
    assert!(LEAST.contains(from), "{from}");
    let error = load(&LEAST.replacen(from, to, 1)).unwrap_err().to_string();
    assert!(error.contains("kinfold.toml"), "{error}");
    error
}

#[test]
fn defaults_are_those_documented() {
    let config = load(LEAST).unwrap();
    assert_eq!(config.advertise.as_str(), "127.0.0.1:7401");
    assert_eq!((config.partitions, config.durability), (256, Durability::Sync));
    assert_eq!(config.storage.cache_mib, 256);
    assert_eq!(config.storage.reserve_mib, 512);
    assert_eq!(config.limits.value_bytes, 16 << 20);
    assert_eq!((config.limits.key_bytes, config.limits.siblings), (4096, 64));
    assert!(config.merge.threads >= 1);
    assert_eq!((config.members[1].zone.as_str(), config.members[1].capacity), ("default", 1));
}

#[test]
fn the_example_shows_every_key_with_its_default() {
    let example: Draft = toml::from_str(EXAMPLE).unwrap();
    let example = example.complete(&Origin::NoFile).unwrap();
    let least = Draft {
        cluster: Some(example.cluster.clone()),
        node: Some(example.node.clone()),
        data_dir: Some(example.data_dir.clone()),
        listen: Some(example.listen),
        advertise: Some(example.advertise.clone()),
        certificates: DraftCertificates {
            ca: Some(example.certificates.ca.clone()),
            cert: Some(example.certificates.cert.clone()),
            key: Some(example.certificates.key.clone()),
        },
        members: example.members.clone(),
        ..Draft::default()
    };
    assert_eq!(example, least.complete(&Origin::NoFile).unwrap());

    let mut full = example;
    full.plugins_dir = Some("plugins".into());
    full.traces.endpoint = Some("http://c:4318/v1/traces".parse().unwrap());
    full.metrics.listen = Some(([127, 0, 0, 1], 9464).into());
    full.dial.insert("n2".to_owned(), "localhost:1".parse().unwrap());
    for line in full.to_toml().unwrap().lines() {
        let key = line.split(" = ").next().unwrap();
        let shown = |shown: &str| shown.trim_start_matches("# ").starts_with(key);
        assert!(EXAMPLE.lines().any(shown), "the example lacks `{key}`");
    }
}

#[test]
fn what_is_written_reads_back() {
    let mut config = load(LEAST).unwrap();
    config.dial.insert("n2".to_owned(), "[::1]:7".parse().unwrap());
    config.log.format = LogFormat::Json;
    config.durability = Durability::Interval;
    config.plugins_dir = Some("/plugins".into());
    assert_eq!(load(&config.to_toml().unwrap()).unwrap(), config);
}

/// Whoever joined has no one but itself in `members`, and the others don't have it in theirs.
#[test]
fn a_node_that_joined_is_dialled_by_another_address_too() {
    let text = LEAST.replacen("cluster", "dial = { n9 = \"localhost:1\" }\ncluster", 1);
    assert_eq!(load(&text).unwrap().address_of("n9", "n9:1"), "localhost:1");
}

#[test]
fn flags_go_over_the_environment_over_the_file() {
    let text = LEAST.replace("[{", "[{ name = \"n3\", address = \"n3:1\" }, {");
    let environment =
        [("KINFOLD_NODE", "n2"), ("KINFOLD_STORAGE_CACHE_MIB", "100"), ("KINFOLD_LISTEN", "")];
    let flags = || Overrides { node: Some("n3".to_owned()), ..Overrides::default() };
    let node = |environment: &[_], flags| load_with(&text, environment, flags).unwrap().node;
    assert_eq!(node(&[], Overrides::default()), "n1");
    assert_eq!(node(&environment, Overrides::default()), "n2");
    assert_eq!(node(&environment, flags()), "n3");
    let both = load_with(&text, &environment, flags()).unwrap();
    assert_eq!(both.storage.cache_mib, 100);
    assert_eq!(both.listen.port(), 7401, "an empty variable counts as unset");
}

/// Every value of a configuration by its dotted key.
fn flatten(config: &Config) -> BTreeMap<String, String> {
    let table: toml::Table = toml::from_str(&config.to_toml().unwrap()).unwrap();
    let mut flat = BTreeMap::new();
    for (key, value) in table {
        let Some(section) = value.as_table() else {
            flat.insert(key, value.to_string());
            continue;
        };
        for (inner, value) in section {
            flat.insert(format!("{key}.{inner}"), value.to_string());
        }
    }
    flat
}

#[test]
fn each_variable_sets_the_key_of_its_name_and_no_other() {
    let text =
        LEAST.replace("\"data\"", "\"/data\"\nadvertise = \"n1:1\"").replace("\"n1.", "\"/tls/n1.");
    let base = flatten(&load(&text).unwrap());
    for variable in Overrides::VARIABLES {
        let values =
            ["9", "n2", "n2:9", "127.0.0.1:9", "interval", "debug", "json", "4", "http://n2:9/"];
        let set = values
            .iter()
            .find_map(|value| load_with(&text, &[(variable, value)], Overrides::default()).ok())
            .unwrap_or_else(|| panic!("{variable} takes none of the values"));
        let changed: Vec<_> = flatten(&set)
            .into_iter()
            .filter(|(key, value)| base.get(key) != Some(value))
            .map(|(key, _)| format!("KINFOLD_{}", key.replace('.', "_").to_uppercase()))
            .collect();
        assert_eq!(changed, [*variable]);
    }
}

#[test]
fn a_bad_variable_is_named() {
    for (variable, value, word) in [
        ("KINFOLD_LISTEN", "nowhere", "nowhere"),
        ("KINFOLD_DURABILITY", "never", "sync or interval"),
        ("KINFOLD_STORAGE_CACHE_MIB", "-1", "-1"),
    ] {
        let error = load_with(LEAST, &[(variable, value)], Overrides::default());
        let said = error.unwrap_err().to_string();
        assert!(said.contains(variable) && said.contains(word), "{said}");
    }
}

#[test]
fn unknown_keys_are_refused() {
    assert!(said("cluster", "colour = 1\ncluster").contains("`colour`"));
    assert!(said("ca =", "bad = 1, ca =").contains("`bad`"));
    assert!(said("name = \"n2\"", "weight = 2, name = \"n2\"").contains("`weight`"));
    for section in ["storage", "limits", "merge", "log"] {
        let text = format!("{section} = {{ other = 1 }}\ncluster");
        assert!(said("cluster", &text).contains("`other`"), "{section}");
    }
}

#[test]
fn what_has_no_default_must_be_given() {
    for key in ["cluster", "node", "data_dir", "listen"] {
        let kept: Vec<_> = LEAST.lines().filter(|l| !l.trim().starts_with(key)).collect();
        let error = load(&kept.join("\n")).unwrap_err();
        assert!(matches!(error, ConfigError::Missing { key: k, .. } if k == key), "{error}");
    }
    let error = load(&LEAST.replace(", key = \"n1.key\"", "")).unwrap_err();
    assert!(error.to_string().contains("`certificates.key`"), "{error}");
}

#[test]
fn values_out_of_range_are_refused() {
    for (text, key) in [
        ("partitions = 0", "partitions"),
        ("partitions = 100", "partitions"),
        ("partitions = 131072", "partitions"),
        ("partitions = 1", "members"),
        ("interval_ms = 0", "interval_ms"),
        ("limits = { value_bytes = 67108865 }", "limits.value_bytes"),
        ("limits = { siblings = 1 }", "limits.siblings"),
        ("merge = { threads = 0 }", "merge.threads"),
        ("storage = { cache_mib = 1 }", "storage.cache_mib"),
        ("dial = { N9 = \"n9:1\" }", "dial.N9"),
    ] {
        let said = said("cluster", &format!("{text}\ncluster"));
        assert!(said.contains(&format!("`{key}`")), "{text}: {said}");
    }
}

#[test]
fn names_and_members_must_fit_together() {
    assert!(said("\"c1\"", "\"C1\"").contains("`cluster`"));
    assert!(said("node = \"n1\"", "node = \"n7\"").contains("don't name this node, `n7`"));
    assert!(said("name = \"n2\"", "name = \"n1\"").contains("a second time"));
    assert!(said("n2.example:7401", "127.0.0.1:7401").contains("another member's"));
    assert!(said("name = \"n2\"", "capacity = 0, name = \"n2\"").contains("members[1].capacity"));
    assert!(said("name = \"n2\"", "zone = \"\", name = \"n2\"").contains("members[1].zone"));
}

#[test]
fn a_wildcard_is_never_advertised() {
    assert!(said("127.0.0.1:7401", "0.0.0.0:7401").contains("`advertise` is needed"));
    assert!(said("127.0.0.1:7401", "127.0.0.1:0").contains("`advertise` is needed"));
    let text =
        LEAST.replacen("\"127.0.0.1:7401\"", "\"[::]:7401\"\nadvertise = \"n1.example:1\"", 1);
    assert_eq!(load(&text).unwrap().advertise.as_str(), "n1.example:1");
}

#[test]
fn relative_paths_start_at_the_file() {
    let config = load(LEAST).unwrap();
    assert!(config.data_dir.is_absolute() && config.data_dir.ends_with("data"));
    assert!(config.certificates.cert.is_absolute());
    assert_eq!(config.certificates.ca, Path::new("/tls/ca.pem"));
    let flags = Overrides { data_dir: Some("here".into()), ..Overrides::default() };
    assert_eq!(load_with(LEAST, &[], flags).unwrap().data_dir, Path::new("here"));
}

#[test]
fn addresses_can_be_dialled() {
    for good in ["127.0.0.1:1", "[::1]:65535", "n1:7401", "n1.eu_west.example:7401"] {
        assert!(good.parse::<Address>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "n1",
        "n1:",
        "n1:0",
        "n1:65536",
        "n1:+1",
        ":1",
        "::1:1",
        "0.0.0.0:1",
        "[::]:1",
        "127.0.0.1:0",
        "10.0.0:1",
        "a..b:1",
        "a b:1",
    ] {
        assert!(bad.parse::<Address>().is_err(), "{bad}");
    }
}
