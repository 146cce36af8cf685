//! One span: what a node did for a request, from when to when.

use std::time::{SystemTime, UNIX_EPOCH};

use kinfold_protocol::trace::TraceContext;
use serde_json::{Value, json};

/// A span that is open.
#[derive(Debug)]
pub(super) struct Span {
    name: &'static str,
    context: TraceContext,
    parent: Option<[u8; 8]>,
    begun: u128,
    failure: Option<&'static str>,
}

impl Span {
    /// A span whose cause is elsewhere; none if there is no chance to name it by.
    pub(super) fn child(name: &'static str, cause: TraceContext) -> Option<Self> {
        let context = TraceContext { span: random()?, ..cause };
        Some(Self { name, context, parent: Some(cause.span), begun: nanos(), failure: None })
    }

    /// The first span of a trace, for so many of a million.
    pub(super) fn root(name: &'static str, per_million: u32) -> Option<Self> {
        let chance: [u8; 4] = random()?;
        if u32::from_be_bytes(chance) % 1_000_000 >= per_million {
            return None;
        }
        let context = TraceContext { trace: random()?, span: random()?, sampled: true };
        Some(Self { name, context, parent: None, begun: nanos(), failure: None })
    }

    /// What is caused by it is told this.
    pub(super) fn context(&self) -> TraceContext {
        self.context
    }

    /// It failed, with this code.
    pub(super) fn fail(&mut self, code: &'static str) {
        self.failure = Some(code);
    }

    /// The span, ended now, as OTLP has it in JSON.
    pub(super) fn end(self) -> Value {
        /// SPAN_KIND_SERVER
        const SERVER: u8 = 2;
        /// STATUS_CODE_ERROR
        const ERROR: u8 = 2;
        let mut span = json!({
            "traceId": hex(&self.context.trace),
            "spanId": hex(&self.context.span),
            "name": self.name,
            "kind": SERVER,
            "startTimeUnixNano": self.begun.to_string(),
            "endTimeUnixNano": nanos().to_string(),
        });
        if let Some(parent) = self.parent {
            span["parentSpanId"] = hex(&parent).into();
        }
        if let Some(code) = self.failure {
            span["status"] = json!({ "code": ERROR, "message": code });
        }
        span
    }
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok()?;
    // All zeros name nothing.
    (bytes != [0; N]).then_some(bytes)
}

fn nanos() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
