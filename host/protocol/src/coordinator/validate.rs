//! A put to a bucket whose plugin looks at values before they are written: has it look, and then has the put begun.
//!
//! Only a clear "no" refuses the put. A plugin that fails at it, or is not here, has no meaning for the data, as with merges.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::coordinator::{Doubtful, Fact, Machine, Order, Orders, failed};
use crate::merge::{MergeFailure, ValidateRequest, Validity};
use crate::message::client::{Code, RequestHeader};
use crate::time::Time;

/// A put whose value is with the plugin.
#[derive(Debug)]
pub(crate) struct Validate {
    header: RequestHeader,
    body: Bytes,
    plugin: alloc::string::String,
    /// Another node was asked for the same before, and may have made the write.
    doubtful: bool,
    deadline: Time,
}

impl Validate {
    /// Asks the plugin.
    pub(crate) fn start(
        request: ValidateRequest,
        header: RequestHeader,
        doubtful: bool,
        deadline: Time,
    ) -> (Self, Orders) {
        let validate = Self {
            header,
            body: request.value.clone(),
            plugin: request.plugin.clone(),
            doubtful,
            deadline,
        };
        (validate, vec![Order::Validate(request)])
    }

    fn answered(&self, validity: Validity) -> Orders {
        match validity {
            Validity::Valid => self.go_on("values_valid"),
            Validity::Unknown(MergeFailure::Overloaded) => {
                let text = "too many merges are waiting for the bucket's plugin to look at the value; nothing was written: \
                            try again a little later, or at another owner";
                self.refuse(Code::Overloaded, text.into())
            }
            Validity::Unknown(_) => self.go_on("values_not_validated"),
            Validity::Invalid(reason) => {
                let text = format!(
                    "plugin `{}` refuses the value: {reason}; nothing was written",
                    self.plugin
                );
                let mut orders = vec![Order::Count("values_invalid")];
                orders.extend(self.refuse(Code::BadRequest, text));
                orders
            }
        }
    }

    fn go_on(&self, counter: &'static str) -> Orders {
        let (header, body) = (self.header.clone(), self.body.clone());
        vec![
            Order::Count(counter),
            Order::Put(header, body, self.deadline, Doubtful(self.doubtful)),
        ]
    }

    fn refuse(&self, code: Code, text: alloc::string::String) -> Orders {
        let (code, text) = if self.doubtful {
            (
                Code::Unknown,
                format!("an owner was asked before and did not answer; this node: {text}"),
            )
        } else {
            (code, text)
        };
        vec![Order::Reply(failed(code, text), Vec::new()), Order::End]
    }
}

impl Machine for Validate {
    fn on(&mut self, now: Time, fact: Fact) -> Orders {
        match fact {
            Fact::Validated(validity) => self.answered(validity),
            Fact::Time if now >= self.deadline => self.refuse(
                Code::Overloaded,
                "the bucket's plugin did not come to look at the value in time; nothing was written: try again".into(),
            ),
            Fact::Time
            | Fact::Applied { .. }
            | Fact::Durable
            | Fact::Failed(_)
            | Fact::Read(_)
            | Fact::Replicated { .. }
            | Fact::Held { .. }
            | Fact::Merged(_)
            | Fact::Component { .. }
            | Fact::Balloted { .. }
            | Fact::Ballot(_)
            | Fact::Keys { .. }
            | Fact::Voted { .. }
            | Fact::Moved(_)
            | Fact::Forwarded { .. }
            | Fact::CatalogueHave { .. }
            | Fact::CatalogueSaved => Vec::new(),
        }
    }

    fn wake(&self) -> Time {
        self.deadline
    }
}
