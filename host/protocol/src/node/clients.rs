//! What clients ask: who may, and which machine it becomes.

use alloc::vec::Vec;

use bytes::Bytes;

use super::Node;
use super::requests::Role;
use crate::admission;
use crate::coordinator::ReplyTo;
use crate::message::client::{Code, Failure, Request, RequestHeader, Response};
use crate::time::{Duration, Now};

impl Node {
    pub(super) fn on_request(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        admin: bool,
        header: RequestHeader,
        body: Bytes,
    ) {
        if let Err(failure) = self.try_request(now, reply_to, admin, header, body) {
            self.count("requests_refused");
            self.reply(reply_to, now, Response::Failed(failure), Vec::new());
        }
    }

    fn try_request(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        admin: bool,
        header: RequestHeader,
        body: Bytes,
    ) -> Result<(), Failure> {
        let concerns_keys = matches!(
            header.request,
            Request::Get(_) | Request::Put(_) | Request::Delete(_) | Request::List(_)
        );
        let version = self.ring.acting.version;
        // Who asks who owns what by now can't be expected to know it.
        if concerns_keys && header.layout != 0 && header.layout != version {
            let text = alloc::format!(
                "the request was made by layout {}, this node acts by {version}; nothing was done: ask for the layout \
                 and try again",
                header.layout
            );
            return Err(Failure::new(Code::StaleLayout, text));
        }
        if concerns_keys && !self.is_member() {
            let text = "this node is no member of the ring; nothing was done: ask a member";
            return Err(Failure::new(Code::Unavailable, text));
        }
        if self.operations.len() >= self.boot.limits.requests {
            self.count("requests_shed");
            return Err(overloaded());
        }
        let deadline = now.time.after(self.patience(header.deadline_ms));
        match &header.request {
            Request::List(list) => self.begin_list(now, reply_to, list, deadline),
            Request::Get(_) => self.begin_get(now, reply_to, header, body, deadline, Role::Asked),
            Request::Put(_) | Request::Delete(_) => {
                self.begin_put(now, reply_to, header, body, deadline, Role::Asked)
            }
            Request::BucketCreate(change) | Request::BucketSet(change) => {
                let create = matches!(header.request, Request::BucketCreate(_));
                if !admin {
                    let text = "changing buckets needs a certificate of the admin role; nothing was changed";
                    return Err(Failure::new(Code::Forbidden, text));
                }
                admission::change(&self.boot.catalogue, self.ring.acting.copies(), change, create)?;
                self.change_bucket(now, reply_to, change.clone(), deadline)
            }
            Request::Plugin(request) => {
                self.on_plugin_request(now, reply_to, admin, request, deadline)
            }
            Request::Cluster(request) => {
                self.on_cluster_request(now, reply_to, admin, request, deadline)
            }
            Request::BucketList => {
                let buckets = self.boot.catalogue.buckets().clone();
                self.reply(reply_to, now, Response::Buckets(buckets), Vec::new());
                Ok(())
            }
            Request::Layout => {
                let layout = self.layout().clone().numbered(self.ring.acting.version);
                self.reply(reply_to, now, Response::Layout(layout), Vec::new());
                Ok(())
            }
            Request::Explain(explain) => self.begin_explain(now, reply_to, explain, deadline),
            // The shell has begun it.
            Request::Status | Request::Scrub => {
                let status = self.status(now.time);
                self.reply(reply_to, now, Response::Status(status), Vec::new());
                Ok(())
            }
        }
    }

    pub(super) fn patience(&self, deadline_ms: u32) -> Duration {
        let limits = &self.boot.limits;
        match deadline_ms {
            0 => limits.default_deadline,
            ms => Duration::from_millis(ms.into()).min(limits.max_deadline),
        }
    }
}

pub(super) fn overloaded() -> Failure {
    Failure {
        code: Code::Overloaded,
        message: "the node has too much to do; nothing was done: try again a little later, or at another owner".into(),
        retry_after_ms: Some(50),
    }
}
