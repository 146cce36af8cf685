//! The program under test, and one run of it.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;

use serde_json::Value;

/// The folder of the workspace.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What one run came to.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

/// The `kinfold` program: the one that `KINFOLD_PROGRAM` names, or the one that cargo builds of this workspace.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| std::env::var_os("KINFOLD_PROGRAM").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--locked", "--package", "kinfold", "--message-format", "json"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output =
        command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = output.stdout.split(|byte| *byte == b'\n');
    let built = messages
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "kinfold")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    built.expect("cargo names the program that it built")
}

/// Runs the program to its end, with an environment in which it finds no cluster by itself.
pub(crate) fn kinfold<A: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = A>,
    input: &[u8],
) -> Run {
    let mut command = command();
    command.args(arguments);
    run(command, input)
}

/// Runs it to its end.
pub(crate) fn run(mut command: Command, input: &[u8]) -> Run {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    // Of its own, since the program may write before it has read everything; it may also never read.
    let feed = thread::spawn(move || drop(stdin.write_all(&input)));
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    feed.join().unwrap();
    Run { code: status.code(), out: stdout, err: String::from_utf8_lossy(&stderr).into_owned() }
}

/// The program, in an environment in which it finds no cluster by itself.
pub(crate) fn command() -> Command {
    let mut command = Command::new(program());
    let ours = |name: &OsStr| name.to_str().is_some_and(|name| name.starts_with("KINFOLD_"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command
}

impl Run {
    /// The output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.out).unwrap_or_else(|e| panic!("{e}: {self}"))
    }

    /// The output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// Fails unless the run ended so.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Fails unless the run ended so, and said this on standard error.
    #[track_caller]
    pub(crate) fn says(self, code: i32, words: &str) -> Self {
        assert!(self.err.contains(words), "not `{words}`: {self}");
        self.ends(code)
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.out.get(..2_000).unwrap_or(&self.out).escape_ascii();
        write!(f, "exit code {:?}\nout: {shown}\nerr: {}", self.code, self.err)
    }
}

/// Says that a tool is missing, and has that counted apart in the file that `KINFOLD_SKIPPED` names, as `tests/all` does: the check
/// has not passed. Where nobody counts, it fails.
pub(crate) fn skip(why: &str) {
    let Some(file) = std::env::var_os("KINFOLD_SKIPPED") else {
        panic!(
            "not checked: {why}\n(KINFOLD_SKIPPED=FILE has such tests note this there instead of failing)"
        );
    };
    eprintln!("SKIPPED: {why}");
    let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
    writeln!(file, "{why}").unwrap();
}
