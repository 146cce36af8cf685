//! Fails in every way that a plugin can, on demand: for tests of whoever runs plugins, and for seeing what a node does
//! with a plugin that fails. Not for a bucket that matters.
//!
//! Each sibling is a command, and they are obeyed in the order in which they come:
//!
//! | command | what happens |
//! | --- | --- |
//! | `panic TEXT` | panics with the text |
//! | `trap` | traps without a word |
//! | `spin` | never ends |
//! | `allocate N` | allocates N bytes and writes to each |
//! | `answer N` | the merged value is N bytes long |
//! | `count` | counts up a global, and the merged value is the count |
//! | `log TEXT` | writes the text to the log as information |
//! | `refuse TEXT` | finds its sibling invalid, with the text as the reason |
//! | `keep TEXT` | keeps the siblings, with the text as the reason |
//!
//! Anything else is a value like any other; the greatest one wins where no command gave an answer.

use std::sync::atomic::{AtomicU32, Ordering};

use kinfold_plugin_sdk::{Context, Level, MergeError, Resolver, Sibling, export, log};

/// The plugin.
pub struct Tripwire;

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Resolver for Tripwire {
    fn merge(_: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError> {
        let mut answer = None;
        for (index, sibling) in (0..).zip(&siblings) {
            let value = sibling.value.as_deref().unwrap_or_default();
            if let Some(new) = obey(index, &String::from_utf8_lossy(value))? {
                answer = Some(new);
            }
        }
        let greatest = || siblings.into_iter().filter_map(|sibling| sibling.value).max();
        Ok(answer.or_else(greatest))
    }
}

export!(Tripwire);

/// Obeys one command; the merged value if it makes one.
fn obey(index: u32, command: &str) -> Result<Option<Vec<u8>>, MergeError> {
    let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
    match verb {
        "panic" => panic!("{rest}"),
        "trap" => trap(),
        "spin" => loop {
            std::hint::spin_loop();
        },
        "allocate" => {
            std::hint::black_box(vec![1u8; number(rest)]);
            Ok(None)
        }
        "answer" => Ok(Some(vec![b'x'; number(rest)])),
        "count" => {
            let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
            Ok(Some(count.to_string().into_bytes()))
        }
        "log" => {
            log(Level::Info, rest);
            Ok(None)
        }
        "refuse" => Err(MergeError::InvalidSibling { index, reason: rest.into() }),
        "keep" => Err(MergeError::KeepSiblings(rest.into())),
        _ => Ok(None),
    }
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_default()
}

fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    std::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(values: &[&str]) -> Result<Option<Vec<u8>>, MergeError> {
        let sibling = |value: &&str| Sibling { value: Some((*value).into()), time: 1 };
        Tripwire::merge(Context::default(), values.iter().map(sibling).collect())
    }

    #[test]
    fn without_commands_the_greatest_value_wins() {
        assert_eq!(merge(&["a", "b"]), Ok(Some(b"b".to_vec())));
    }

    #[test]
    fn commands_are_obeyed() {
        assert_eq!(merge(&["answer 3", "b"]), Ok(Some(b"xxx".to_vec())));
        assert_eq!(merge(&["a", "keep both"]), Err(MergeError::KeepSiblings("both".into())));
        let reason = "why not".to_owned();
        assert_eq!(
            merge(&["a", "refuse why not"]),
            Err(MergeError::InvalidSibling { index: 1, reason })
        );
    }
}
