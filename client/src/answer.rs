//! What an answer says, checked against what was asked.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use kinfold_protocol::catalogue::BucketEntry;
use kinfold_protocol::causality::Digest;
use kinfold_protocol::id::{BucketName, NodeId};
use kinfold_protocol::layout::Layout;
use kinfold_protocol::message::client::{self, Conflict, Request, Response, Status, Write};
use kinfold_protocol::message::cluster::ClusterResponse;
use kinfold_protocol::message::explain::Explanation;
use kinfold_protocol::message::plugin::PluginResponse;

use crate::context::CausalContext;
use crate::error::Error;
use crate::exchange::Answer;
use crate::found::Found;
use crate::written::Written;

/// Is this an answer to that request, with a body as long as it says?
pub(crate) fn check(request: &Request, answer: &Answer) -> Result<(), String> {
    let fits = match (request, &answer.header.response) {
        (Request::Get(_), Response::Found(_))
        | (Request::List(_), Response::Listed(_))
        | (Request::Put(_) | Request::Delete(_), Response::Written(_))
        | (
            Request::Put(Write { conditional: true, .. })
            | Request::Delete(Write { conditional: true, .. }),
            Response::Conflict(_),
        )
        | (Request::BucketCreate(_) | Request::BucketSet(_), Response::BucketSaved { .. })
        | (Request::BucketList, Response::Buckets(_))
        | (Request::Layout, Response::Layout(_))
        | (Request::Status | Request::Scrub, Response::Status(_))
        | (Request::Plugin(_), Response::Plugin(_))
        | (Request::Cluster(_), Response::Cluster(_))
        | (Request::Explain(_), Response::Explained(_))
        | (_, Response::Failed(_)) => true,
        (
            Request::Get(_)
            | Request::List(_)
            | Request::Put(_)
            | Request::Delete(_)
            | Request::BucketCreate(_)
            | Request::BucketSet(_)
            | Request::BucketList
            | Request::Layout
            | Request::Plugin(_)
            | Request::Cluster(_)
            | Request::Explain(_)
            | Request::Scrub
            | Request::Status,
            _,
        ) => false,
    };
    if !fits {
        return Err("the answer is to another question".to_owned());
    }
    let named = match &answer.header.response {
        Response::Found(found) | Response::Conflict(Conflict { found, .. }) => {
            found.values.iter().map(|len| u64::from(*len)).sum()
        }
        Response::Explained(told) => told.values.iter().map(|(_, len)| u64::from(*len)).sum(),
        Response::Plugin(PluginResponse::Failures(failures)) => {
            let siblings = failures.iter().flat_map(|failed| &failed.siblings);
            siblings.filter_map(|sibling| sibling.size).fold(0, u64::saturating_add)
        }
        Response::Written(_)
        | Response::Listed(_)
        | Response::BucketSaved { .. }
        | Response::Buckets(_)
        | Response::Layout(_)
        | Response::Status(_)
        | Response::Plugin(_)
        | Response::Cluster(_)
        | Response::Failed(_) => 0,
    };
    if named == answer.body.len() as u64 {
        Ok(())
    } else {
        Err(format!("the answer names {named} bytes of values and brings {}", answer.body.len()))
    }
}

/// Takes the part that is wanted out of an answer that was checked.
macro_rules! part {
    ($(#[$doc:meta])* $name:ident -> $type:ty, $pattern:pat => $part:expr) => {
        $(#[$doc])*
        pub(crate) fn $name(answer: Answer) -> Result<$type, Error> {
            if let $pattern = answer.header.response {
                return Ok($part);
            }
            Err(Error::Protocol { notes: "the answer is to another question".to_owned() })
        }
    };
}

part!(
    /// Who owns what.
    layout -> Layout, Response::Layout(layout) => layout
);
part!(
    /// How a node is.
    status -> Status, Response::Status(status) => status
);
part!(
    /// Some keys.
    listed -> client::Listed, Response::Listed(listed) => listed
);
part!(
    /// All buckets.
    buckets -> BTreeMap<BucketName, BucketEntry>, Response::Buckets(buckets) => buckets
);
part!(
    /// Members that do not have a change yet.
    missing -> Vec<NodeId>, Response::BucketSaved { missing } => missing
);
part!(
    /// What was told of the ring.
    cluster -> ClusterResponse, Response::Cluster(response) => response
);
part!(
    /// What was told of plugins.
    plugin -> PluginResponse, Response::Plugin(response) => response
);

/// An answer to another question.
pub(crate) fn other() -> Error {
    Error::Protocol { notes: "the answer is to another question".to_owned() }
}

/// What became of a write.
pub(crate) fn written(answer: Answer) -> Result<Written, Error> {
    if let Response::Conflict(conflict) = answer.header.response {
        return Err(Error::Conflict { found: Box::new(parts(conflict.found, answer.body)?) });
    }
    let attempts = answer.attempts;
    let Response::Written(written) = answer.header.response else {
        return Err(other());
    };
    Ok(Written {
        context: CausalContext::from_bytes(written.context),
        owners: written.owners,
        fallbacks: written.fallbacks,
        attempts,
    })
}

/// What a get found.
pub(crate) fn found(answer: Answer) -> Result<Found, Error> {
    let Response::Found(found) = answer.header.response else {
        return Err(other());
    };
    parts(found, answer.body)
}

/// The values of an answer, cut out of its body.
fn parts(found: client::Found, mut body: Bytes) -> Result<Found, Error> {
    let values = found.values.iter().map(|len| take(&mut body, *len)).collect::<Result<_, _>>()?;
    let expires = (0..found.values.len()).map(|at| match found.expires.get(at) {
        None | Some(0) => None,
        Some(ms) => UNIX_EPOCH.checked_add(Duration::from_millis(*ms)),
    });
    Ok(Found {
        values,
        expires: expires.collect(),
        context: CausalContext::from_bytes(found.context),
        deleted: found.deleted,
        merged: found.merged,
        merge_failure: found.merge_failure,
        owners: found.owners,
        fallbacks: found.fallbacks,
    })
}

/// What is held of a key, and the values that came with it.
pub(crate) fn explained(answer: Answer) -> Result<(Explanation, BTreeMap<Digest, Bytes>), Error> {
    let Answer { header, mut body, .. } = answer;
    let Response::Explained(explanation) = header.response else {
        return Err(Error::Protocol { notes: "the answer is to another question".to_owned() });
    };
    let values = explanation.values.iter();
    let values = values.map(|(digest, len)| Ok((*digest, take(&mut body, *len)?)));
    let values = values.collect::<Result<_, _>>()?;
    Ok((*explanation, values))
}

fn take(body: &mut Bytes, len: u32) -> Result<Bytes, Error> {
    match usize::try_from(len) {
        Ok(len) if len <= body.len() => Ok(body.split_to(len)),
        Ok(_) | Err(_) => {
            Err(Error::Protocol { notes: "a value is longer than the answer".to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinfold_protocol::message::client::{self, ResponseHeader};

    fn answer(values: Vec<u32>, body: &'static [u8]) -> Answer {
        let found = client::Found {
            context: Bytes::from_static(b"\x80"),
            values,
            expires: vec![],
            deleted: false,
            merged: false,
            merge_failure: None,
            owners: 2,
            fallbacks: 0,
        };
        let header = ResponseHeader { layout: 1, response: Response::Found(found) };
        Answer { header, body: Bytes::from_static(body), attempts: 1 }
    }

    fn get() -> Request {
        Request::Get(client::Get {
            bucket: BucketName::new("b").unwrap(),
            key: Bytes::new(),
            r: None,
            consistency: None,
        })
    }

    #[test]
    fn values_are_cut_out_of_the_body() {
        let answer = answer(vec![1, 0, 2], b"abc");
        check(&get(), &answer).unwrap();
        assert_eq!(found(answer).unwrap().values, [&b"a"[..], b"", b"bc"]);
    }

    #[test]
    fn an_answer_that_does_not_fit_is_told() {
        assert!(check(&get(), &answer(vec![4], b"abc")).is_err());
        assert!(check(&get(), &answer(vec![u32::MAX, u32::MAX], b"abc")).is_err());
        assert!(check(&Request::Status, &answer(vec![], b"")).is_err());
        assert!(found(answer(vec![4], b"abc")).is_err());
    }
}
