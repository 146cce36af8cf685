//! The laws of merging, tested on a component before anyone relies on it.
//!
//! This tests, it does not prove: a plugin that passes broke no law on the siblings that were tried. Which ones these were is a
//! function of the seed, so a run can be repeated, and what it found is shrunk to the smallest siblings that still show
//! it. The way is QuickCheck's (Claessen and Hughes 2000).
//!
//! ```text
//! values    what clients might write: the plugin's samples, a corpus, mutations of both, bytes that mean nothing
//! cases     siblings made of values: few and many, equal times, deletes, empty and large ones
//! breach    each law as a question about one case: does it hold here?
//! shrink    a case that breaks a law, made smaller while it still does
//! subject   the plugin, merging as the host merges, and what that took
//! report    what was found
//! ```
//!
//! A checker has an engine of its own with room for one instance, so that it can put garbage into the very memory that the
//! plugin's next instance gets.

mod breach;
mod cases;
mod chance;
mod law;
mod poison;
mod report;
mod shrink;
mod subject;
mod values;

use std::time::Instant;

use bytes::Bytes;

pub use law::Law;
pub use report::{Counterexample, Finding, Origins, Report, Side, Situation, Used, Verdict};

use crate::engine::{Engine, EngineError};
use crate::laws::breach::Tried;
use crate::laws::chance::Chance;
use crate::laws::report::Collapse;
use crate::laws::subject::Subject;
use crate::laws::values::Values;
use crate::limits::Limits;
use crate::load::LoadError;
use crate::manifest::Contract;
use crate::plugin::Plugin;

/// What to try.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where all chance comes from: the same plan gives the same report on the same component, times aside.
    pub seed: u64,
    /// How many random cases; those for one situation, such as 64 siblings, come on top. Each costs some thirty merges.
    pub cases: u32,
    /// The bucket's config that the merges get.
    pub config: Bytes,
    /// Values that the author knows to be good, and that show what the plugin is for.
    pub corpus: Vec<Bytes>,
    /// When to stop trying more cases; none: all are tried. A report that was cut short depends on the machine too.
    pub until: Option<Instant>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { seed: 1, cases: 256, config: Bytes::new(), corpus: Vec::new(), until: None }
    }
}

/// Why nothing was checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// This machine can't run plugins.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The component can't be loaded, so no node would load it either.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Tries the laws on a component, every merge within `limits`.
///
/// # Errors
/// If the component can't be loaded. A law that does not hold is no error: see [`Report::refused`].
pub fn check(component: &[u8], limits: Limits, plan: &Plan) -> Result<Report, CheckError> {
    let engine = Engine::new(limits, 1)?;
    let plugin = Plugin::load(&engine, component)?;
    let mut subject = Subject::new(&engine, &plugin, plan.config.clone());
    let mut chance = Chance::new(plan.seed);
    let values = Values::gather(&mut subject, &plan.corpus, &mut chance);
    let cases = cases::all(&values, plugin.manifest().tombstones, plan.cases, &mut chance);

    let mut findings = Law::ALL.map(Finding::untried);
    let mut collapse = Collapse::default();
    let mut tried = 0;
    for case in &cases {
        if plan.until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
        tried += 1;
        for finding in findings.iter_mut().filter(|finding| finding.is_open()) {
            if finding.law.wants(case) {
                let tried = breach::try_law(finding.law, &mut subject, &case.siblings);
                finding.note(&case.siblings, tried);
            }
        }
        collapse.note(&mut subject, case);
    }
    let contract = plugin.manifest().contract;
    let findings = findings.map(|finding| weigh(finding, &mut subject, contract));
    Ok(Report {
        manifest: plugin.manifest().clone(),
        hash: plugin.hash(),
        seed: plan.seed,
        findings: findings.into(),
        collapse: collapse.warning(),
        origins: values.origins(),
        situations: cases::count(&cases[..tried]),
        cut_short: tried < cases.len(),
        merges: subject.merges,
        merged: subject.merged,
        used: subject.used,
    })
}

/// Makes a counterexample as small as it gets, and a warning of it where the contract doesn't bind the plugin to the law.
fn weigh(finding: Finding, subject: &mut Subject<'_>, contract: Contract) -> Finding {
    let Finding { law, tried, verdict: Verdict::Broken(found) } = finding else {
        return finding;
    };
    let smallest = shrink::smallest(found.siblings.clone(), |siblings| {
        breach::try_law(law, subject, siblings).is_broken()
    });
    let mut found = match breach::try_law(law, subject, &smallest) {
        Tried::Broken(expected, actual) => {
            Box::new(Counterexample { siblings: smallest, expected, actual, equivalent: None })
        }
        // It broke the law a moment ago, so it is not even deterministic: what was found first will do.
        Tried::Held | Tried::Silent => found,
    };
    found.equivalent = found.same_meaning(subject);
    let bound = law.binds(contract);
    let verdict = if bound { Verdict::Broken(found) } else { Verdict::Warned(found) };
    Finding { law, tried, verdict }
}
