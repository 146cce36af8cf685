//! What a check found, for people and for programs.

use std::io::{self, Write};

use kinfold_sandbox::laws::{Counterexample, Finding, Report, Side, Verdict};
use serde_json::{Value, json};

use crate::bytes_text::JsonBytes;

const MIB: usize = 1024 * 1024;

/// Writes the report as a test runner does: a line a law, then what is wrong, then the verdict.
pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let manifest = &report.manifest;
    let contract = format!("{:?}", manifest.contract).to_lowercase();
    writeln!(out, "checking {} {} ({contract})", manifest.name, manifest.version)?;
    writeln!(out, "blake3 {}, seed {}\n", report.hash, report.seed)?;
    for Finding { law, tried, verdict } in &report.findings {
        let (mark, tried) = match verdict {
            Verdict::Held => ("ok", format!("{tried} cases")),
            Verdict::Untried => ("untried", "the plugin merged none of the siblings".into()),
            Verdict::Warned(_) => ("warning", format!("case {tried}")),
            Verdict::Broken(_) => ("BROKEN", format!("case {tried}")),
        };
        writeln!(out, "  {mark:8} {law:14} {tried}")?;
    }
    let mark = if report.collapse.is_some() { "warning" } else { "ok" };
    writeln!(out, "  {mark:8} {:14} results about as large as what they are made of", "size")?;

    for Finding { law, verdict, .. } in &report.findings {
        if let Verdict::Broken(found) | Verdict::Warned(found) = verdict {
            writeln!(out, "\nnot {law}: {}, but for", law.sentence())?;
            write!(out, "{found}")?;
        }
    }
    if let Some(found) = &report.collapse {
        writeln!(
            out,
            "\nresults are nearly always far smaller than the largest sibling. Is that meant so? For"
        )?;
        write!(out, "{found}")?;
    }

    let origins = &report.origins;
    writeln!(
        out,
        "\nvalues: {} samples of the plugin's, {} of the corpus, {} changed ones, {} without a meaning",
        origins.sampled, origins.corpus, origins.mutated, origins.generic
    )?;
    let situations =
        report.situations.iter().map(|(what, count)| format!("{count} {}", what.name()));
    writeln!(out, "siblings: {}", situations.collect::<Vec<_>>().join(", "))?;
    let ((fuel, allowed), (memory, most)) = (report.used.fuel, report.used.memory);
    writeln!(
        out,
        "used at most: {fuel} of {allowed} fuel ({}), {:.1} of {} MiB, {:.2} ms",
        percent(fuel, allowed),
        mib(memory),
        most / MIB,
        report.used.time.as_secs_f64() * 1e3
    )?;
    writeln!(out, "{} merges, {} of which gave a value or a delete", report.merges, report.merged)?;
    let verdict = match (report.refused(), report.warned()) {
        (true, _) => "refused: fix what is BROKEN, and give values for what is untried",
        (false, true) => "passed, with warnings",
        (false, false) => "passed",
    };
    writeln!(out, "\n{verdict}")
}

fn mib(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0
}

/// How much of the whole, in whole percents; never 100 before it is all.
fn percent(part: u64, whole: u64) -> String {
    match u128::from(part) * 100 / u128::from(whole.max(1)) {
        0 => "less than 1 %".into(),
        percent => format!("{percent} %"),
    }
}

/// The report for programs.
pub(super) fn json(report: &Report) -> Value {
    let side = |side: &Side| match &side.result {
        Ok(merged) => json!({
            "how": side.how,
            "value": merged.value.as_deref().map(JsonBytes::new),
            "time": merged.time.0,
        }),
        Err(failure) => json!({ "how": side.how, "failure": failure.to_string() }),
    };
    let found = |found: &Counterexample| {
        let sibling = |sibling: &kinfold_sandbox::MergeInput| json!({ "value": sibling.value.as_deref().map(JsonBytes::new), "time": sibling.time.0 });
        json!({
            "siblings": found.siblings.iter().map(sibling).collect::<Vec<_>>(),
            "expected": found.expected.as_ref().map(side),
            "actual": side(&found.actual),
            "equivalent": found.equivalent,
        })
    };
    let law = |finding: &Finding| {
        let (verdict, counterexample) = match &finding.verdict {
            Verdict::Untried => ("untried", None),
            Verdict::Held => ("held", None),
            Verdict::Warned(example) => ("warned", Some(found(example))),
            Verdict::Broken(example) => ("broken", Some(found(example))),
        };
        json!({
            "law": finding.law.to_string(),
            "verdict": verdict,
            "cases": finding.tried,
            "counterexample": counterexample,
        })
    };
    let situations =
        report.situations.iter().map(|(what, count)| (what.name().to_owned(), (*count).into()));
    json!({
        "plugin": report.manifest.name,
        "version": report.manifest.version,
        "blake3": report.hash.to_hex().to_string(),
        "seed": report.seed,
        "refused": report.refused(),
        "laws": report.findings.iter().map(law).collect::<Vec<_>>(),
        "collapse": report.collapse.as_ref().map(found),
        "values": {
            "sampled": report.origins.sampled,
            "corpus": report.origins.corpus,
            "mutated": report.origins.mutated,
            "generic": report.origins.generic,
        },
        "siblings": situations.collect::<serde_json::Map<String, Value>>(),
        "merges": report.merges,
        "merged": report.merged,
        "used": {
            "fuel": report.used.fuel.0,
            "fuel_allowed": report.used.fuel.1,
            "memory_bytes": report.used.memory.0,
            "memory_allowed_bytes": report.used.memory.1,
            "microseconds": u64::try_from(report.used.time.as_micros()).unwrap_or(u64::MAX),
        },
    })
}
