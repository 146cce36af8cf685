//! The W3C Trace Context of a request, as it is passed on: which trace it belongs to, and which span caused it
//! (<https://www.w3.org/TR/trace-context/>). Nothing here depends on it; the shell makes spans of it.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

/// A `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; not all zeros.
    pub trace: [u8; 16],
    /// The span that caused what follows; not all zeros.
    pub span: [u8; 8],
    /// Is the trace being recorded?
    pub sampled: bool,
}

/// Text that is no `traceparent`. Whoever gets it goes on without a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no traceparent: it is 00-TRACE-SPAN-FLAGS in lowercase hexadecimal, of 32, 16 and 2 digits"
)]
pub struct BadTraceContext;

impl FromStr for TraceContext {
    type Err = BadTraceContext;

    fn from_str(text: &str) -> Result<Self, BadTraceContext> {
        let mut parts = text.split('-');
        let mut part = || parts.next().ok_or(BadTraceContext);
        let (version, trace, span, flags) = (part()?, part()?, part()?, part()?);
        let [version]: [u8; 1] = hex(version)?;
        // A later version may have more parts; this one has not.
        if version == u8::MAX || (version == 0 && parts.next().is_some()) {
            return Err(BadTraceContext);
        }
        let [flags]: [u8; 1] = hex(flags)?;
        let context = Self { trace: hex(trace)?, span: hex(span)?, sampled: flags & 1 == 1 };
        let named = context.trace != [0; 16] && context.span != [0; 8];
        named.then_some(context).ok_or(BadTraceContext)
    }
}

fn hex<const N: usize>(text: &str) -> Result<[u8; N], BadTraceContext> {
    let lowercase = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 2 * N || !text.bytes().all(lowercase) {
        return Err(BadTraceContext);
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        let digits = &text[2 * at..2 * at + 2];
        *byte = u8::from_str_radix(digits, 16).map_err(|_| BadTraceContext)?;
    }
    Ok(bytes)
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("-")?;
        self.span.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{:02x}", u8::from(self.sampled))
    }
}

impl TraceContext {
    /// The context that a header brings; none if there is none, or one that can't be read.
    #[must_use]
    pub fn of_header(text: Option<&String>) -> Option<Self> {
        text.and_then(|text| text.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_example_of_the_recommendation_reads_and_writes() {
        let context: TraceContext = EXAMPLE.parse().unwrap();
        assert!(context.sampled && context.trace[0] == 0x0a && context.span[7] == 0x31);
        assert_eq!(context.to_string(), EXAMPLE);
    }

    #[test]
    fn what_is_malformed_is_no_context() {
        let bad = [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c8031é-b7ad6b7169203331-01",
        ];
        for text in bad {
            assert_eq!(text.parse::<TraceContext>(), Err(BadTraceContext), "{text}");
        }
        let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-what".parse();
        assert!(later.is_ok_and(|context: TraceContext| !context.sampled));
    }
}
