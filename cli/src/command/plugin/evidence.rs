//! What a node tried on a component before it was installed, for people and for programs.

use std::io::{self, Write};

use kinfold_client::{Evidence, LawVerdict};
use serde_json::{Value, json};

/// Writes it as `plugin check` does: a line a law, then what is wrong.
pub(super) fn write(evidence: &Evidence, out: &mut dyn Write) -> io::Result<()> {
    for law in &evidence.laws {
        let (mark, tried) = match law.verdict {
            LawVerdict::Held => ("ok", format!("{} cases", law.tried)),
            LawVerdict::Untried => ("untried", "the plugin merged none of the siblings".into()),
            LawVerdict::Warned => ("warning", format!("case {}", law.tried)),
            LawVerdict::Broken => ("BROKEN", format!("case {}", law.tried)),
        };
        writeln!(out, "  {mark:8} {:14} {tried}", law.law)?;
    }
    let mark = if evidence.collapse.is_some() { "warning" } else { "ok" };
    writeln!(out, "  {mark:8} {:14} results about as large as what they are made of", "size")?;
    for law in &evidence.laws {
        if let Some(example) = &law.counterexample {
            write!(out, "\nnot {}, for\n{example}", law.law)?;
        }
    }
    if let Some(example) = &evidence.collapse {
        write!(
            out,
            "\nresults are nearly always far smaller than the largest sibling, for\n{example}"
        )?;
    }
    if evidence.cut_short {
        writeln!(out, "\nthe time for it ended before all was tried")?;
    }
    writeln!(
        out,
        "\n{} merges of {} sets of siblings, {} of which gave a value or a delete; seed {}{}",
        evidence.merges,
        evidence.cases,
        evidence.merged,
        evidence.seed,
        match evidence.sampled {
            0 => String::new(),
            values => format!("; {values} values of the bucket among them"),
        }
    )
}

/// The same for programs.
pub(super) fn json(evidence: &Evidence) -> Value {
    let laws = evidence.laws.iter().map(|law| {
        json!({
            "law": law.law,
            "verdict": law.verdict.name(),
            "cases": law.tried,
            "counterexample": law.counterexample,
        })
    });
    json!({
        "seed": evidence.seed,
        "cases": evidence.cases,
        "merges": evidence.merges,
        "merged": evidence.merged,
        "sampled": evidence.sampled,
        "cut_short": evidence.cut_short,
        "laws": laws.collect::<Vec<_>>(),
        "collapse": evidence.collapse,
        "fuel": evidence.fuel.0,
        "fuel_allowed": evidence.fuel.1,
        "memory_bytes": evidence.memory.0,
        "memory_allowed_bytes": evidence.memory.1,
    })
}
