//! Someone wants to install a component: this node tries the laws on it, and only then it goes into the catalogue.
//!
//! The trial runs on a thread of its own, one at a time, and ends after [`TIME`]: what was not tried by then is told.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kinfold_protocol::catalogue::{
    Component, Contract, Evidence, LawEvidence, LawVerdict, MAX_EVIDENCE_TEXT, Release,
};
use kinfold_protocol::causality::Digest;
use kinfold_protocol::config::Tombstones;
use kinfold_protocol::message::client::{Code, Response};
use kinfold_protocol::message::plugin::{Install, Installed, PluginResponse};
use kinfold_sandbox::laws::{CheckError, Counterexample, Plan, Report, Verdict, check};
use kinfold_sandbox::{Manifest, Tombstones as Made};
use tokio::sync::oneshot;
use tracing::info;

use super::digest;
use crate::inbox::{Arrival, Install as Installing, Reply};
use crate::rim::Rim;

/// When a trial ends, whatever is left to try. A counterexample is made smaller after that, which takes a moment more.
const TIME: Duration = Duration::from_secs(60);

/// The most random cases that may be asked for.
const MOST_CASES: u32 = 100_000;

/// Answers a request to install a component.
pub(crate) async fn install(rim: &Rim, who: &str, install: Install, body: Bytes) -> Reply {
    let Ok(_alone) = rim.components.trying.try_lock() else {
        return rim.failed(Code::Overloaded, "another component is being tried on this node; nothing was installed: try again when that is done");
    };
    if install.cases > MOST_CASES {
        let message = format!("{} cases: at most {MOST_CASES} are tried", install.cases);
        return rim.failed(Code::BadRequest, message);
    }
    let corpus =
        install.sample.as_ref().map(|b| rim.merger.samples(b.as_str())).unwrap_or_default();
    let sampled = corpus.len() as u64;
    let plan = Plan {
        seed: install.seed,
        cases: install.cases,
        config: install.config,
        corpus,
        until: Some(Instant::now() + TIME),
    };
    let limits = rim.merger.limits().clone();
    let bytes = body.clone();
    let tried = tokio::task::spawn_blocking(move || check(&bytes, limits, &plan)).await;
    let report = match tried {
        Ok(Ok(report)) => report,
        Ok(Err(CheckError::Load(error))) => {
            return rim.failed(Code::BadRequest, format!("{error}; nothing was installed"));
        }
        Ok(Err(CheckError::Engine(error))) => {
            let message =
                format!("this node can't try components ({error}); nothing was installed");
            return rim.failed(Code::Storage, message);
        }
        Err(_ended) => {
            return rim.failed(Code::Unavailable, "the trial did not end; nothing was installed");
        }
    };
    let release = match Release::new(&report.manifest.name, &report.manifest.version) {
        Ok(release) => release,
        Err(error) => return rim.failed(Code::BadRequest, error.to_string()),
    };
    let hash = digest(report.hash);
    let evidence = evidence(&report, sampled);
    if report.refused() {
        info!(plugin = %release, %who, %hash, "a component was refused: it breaks laws that its contract binds it to");
        let installed = Installed { release, hash, evidence, refused: true, missing: Vec::new() };
        return rim.answer(Response::Plugin(PluginResponse::Installed(installed)));
    }
    if let Err(error) = rim.components.keep(hash, Vec::from(body.clone())).await {
        let message = format!("the component can't be kept ({error}); nothing was installed");
        return rim.failed(Code::Storage, message);
    }
    let component = Component {
        hash,
        size: body.len() as u64,
        contract: contract(&report.manifest),
        tombstones: tombstones(&report.manifest),
        description: cut(report.manifest.description.clone()),
        installed_by: who.to_owned(),
        evidence: evidence.clone(),
    };
    enter(rim, release, hash, component, evidence).await
}

/// Has the core put a component into the catalogue.
async fn enter(
    rim: &Rim,
    release: Release,
    hash: Digest,
    component: Component,
    evidence: Evidence,
) -> Reply {
    let (answer, reply) = oneshot::channel();
    let who = component.installed_by.clone();
    let installing = Installing { release: release.clone(), component, answer };
    if rim.inbox.send(Arrival::Install(installing)).is_err() {
        return rim.failed(Code::Unavailable, "the node has stopped; nothing was installed");
    }
    let Ok(mut reply) = reply.await else {
        let message = "the node stopped before the plugin was installed; it may be or not: see `kinfold plugin list`";
        return rim.failed(Code::Unknown, message);
    };
    if let Response::Plugin(PluginResponse::Changed { missing }) = reply.header.response {
        info!(plugin = %release, who, %hash, "plugin installed");
        let installed = Installed { release, hash, evidence, refused: false, missing };
        reply.header.response = Response::Plugin(PluginResponse::Installed(installed));
    }
    reply
}

/// The contract of a manifest, as the catalogue has it.
pub(crate) fn contract(manifest: &Manifest) -> Contract {
    match manifest.contract {
        kinfold_sandbox::Contract::Resolver => Contract::Resolver,
        kinfold_sandbox::Contract::Lattice => Contract::Lattice,
    }
}

/// What deletes are to a plugin, as the catalogue has it.
pub(crate) fn tombstones(manifest: &Manifest) -> Tombstones {
    match manifest.tombstones {
        Made::Pass => Tombstones::Pass,
        Made::Reset => Tombstones::Reset,
    }
}

/// What a trial found, as it is kept.
fn evidence(report: &Report, sampled: u64) -> Evidence {
    let text = |found: &Counterexample| cut(found.to_string());
    let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let laws = report.findings.iter().map(|finding| {
        let (verdict, found) = match &finding.verdict {
            Verdict::Untried => (LawVerdict::Untried, None),
            Verdict::Held => (LawVerdict::Held, None),
            Verdict::Warned(found) => (LawVerdict::Warned, Some(text(found))),
            Verdict::Broken(found) => (LawVerdict::Broken, Some(text(found))),
        };
        LawEvidence {
            law: finding.law.to_string(),
            tried: finding.tried,
            verdict,
            counterexample: found,
        }
    });
    Evidence {
        seed: report.seed,
        cases: report.situations.iter().map(|(_, count)| number(*count)).sum(),
        merges: report.merges,
        merged: report.merged,
        sampled,
        cut_short: report.cut_short,
        laws: laws.collect(),
        collapse: report.collapse.as_ref().map(text),
        fuel: report.used.fuel,
        memory: (number(report.used.memory.0), number(report.used.memory.1)),
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_EVIDENCE_TEXT));
    text
}
