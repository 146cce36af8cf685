//! What puts and deletes say when they are done.

use clap::Args;
use kinfold_client::{CausalContext, Error, RequestId, Written};
use serde::Serialize;

use crate::command::get;
use crate::exit::{End, Failure};
use crate::output;

/// Options that puts and deletes share.
#[derive(Args, Clone, Debug)]
pub(crate) struct WriteArgs {
    /// What this write is based on, as a get or a write printed it: just that is replaced
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) context: Option<CausalContext>,
    /// Owners whose durable acknowledgement to wait for. Default: the bucket's w
    #[arg(long, value_name = "N")]
    pub(crate) w: Option<u8>,
    /// The request id of a write whose fate is unknown, to repeat it without writing twice
    #[arg(long, value_name = "ID")]
    pub(crate) request: Option<RequestId>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Serialize)]
struct Json {
    owners: u8,
    fallbacks: u8,
    context: String,
}

/// Says what became of a write that may have had a condition: if that did not hold, the object that is there.
pub(crate) fn tell_either(
    done: &str,
    written: Result<Written, Error>,
    json: bool,
) -> Result<End, Failure> {
    match written {
        Err(Error::Conflict { found }) => {
            output::note(&format!(
                "not {done}: the key's object is another one than expected, as follows"
            ));
            get::show(&found, false, json)?;
            Ok(End::Conflict)
        }
        written => tell(done, &written?, json),
    }
}

/// Says what became of a write: on standard error, or as JSON on standard output.
pub(crate) fn tell(done: &str, written: &Written, json: bool) -> Result<End, Failure> {
    if json {
        output::print_json(&Json {
            owners: written.owners,
            fallbacks: written.fallbacks,
            context: written.context.to_string(),
        })?;
    } else {
        output::note(&sentence(done, written));
        output::note(&format!("context: {}", written.context));
    }
    Ok(End::Done)
}

fn sentence(done: &str, written: &Written) -> String {
    let count = |n: u8, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let owners = count(written.owners, "owner");
    if written.fallbacks == 0 {
        format!("{done}: durable on {owners}")
    } else {
        format!("{done}: durable on {owners} and {}", count(written.fallbacks, "stand-in"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stand_ins_are_named_where_there_are_any() {
        let context = CausalContext::from_bytes("c");
        let mut written = Written { context, owners: 2, fallbacks: 0, attempts: 1 };
        assert_eq!(sentence("written", &written), "written: durable on 2 owners");
        written.owners = 1;
        written.fallbacks = 1;
        assert_eq!(sentence("deleted", &written), "deleted: durable on 1 owner and 1 stand-in");
    }
}
