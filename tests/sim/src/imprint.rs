//! What of an event goes into the trace: all that tells it from another one, as bytes.

use bytes::Bytes;
use kinfold_protocol::ballot::BallotStep;
use kinfold_protocol::causality::{Context, Marks, Object};
use kinfold_protocol::cbor;
use kinfold_protocol::io::Done;
use kinfold_protocol::message::ballot::{BallotQuestion, BallotReply};
use kinfold_protocol::message::client::Response;
use kinfold_protocol::message::exchange::{Answer, Question};
use kinfold_protocol::message::peer::{Envelope, Greeting, Message};
use kinfold_protocol::replica::{Outcome, Step, StoreJob, Task};
use kinfold_protocol::ring::Tree;
use kinfold_protocol::store::StoreError;
use kinfold_protocol::survey::{Survey, Surveyed};

use crate::client::Call;
use crate::event::{Event, Inner};

/// The bytes of the last imprint.
#[derive(Debug, Default)]
pub(crate) struct Imprint(Vec<u8>);

impl Imprint {
    /// The imprint of an event.
    pub(crate) fn take(&mut self, now: u64, event: &Event) -> &[u8] {
        self.0.clear();
        self.number(now);
        self.event(event);
        &self.0
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn kind(&mut self, kind: u8, numbers: &[u64]) {
        self.0.push(kind);
        for number in numbers {
            self.number(*number);
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn call(&mut self, call: Call) {
        self.kind(0, &[call.client as u64, call.op.0.into(), call.attempt.into()]);
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Arrive { from, to, envelope } => {
                self.kind(1, &[*from as u64, *to as u64]);
                self.envelope(envelope);
            }
            Event::Datagram { from, to, bytes } => {
                self.kind(13, &[*from as u64, *to as u64]);
                self.bytes(bytes);
            }
            Event::Ask { node, call, header, body } => {
                self.kind(2, &[*node as u64, header.deadline_ms.into()]);
                self.call(*call);
                self.bytes(body);
            }
            Event::Answer { call, header, body } => {
                self.kind(3, &[]);
                self.call(*call);
                self.response(&header.response, body);
            }
            Event::Within { node, life, what } => {
                self.kind(4, &[*node as u64, (*life).into()]);
                self.inner(what);
            }
            Event::Next { client } => self.kind(5, &[*client as u64]),
            Event::Patience { call } => self.call(*call),
            Event::Start { node } => self.kind(6, &[*node as u64]),
            Event::Fault(fault) => {
                self.kind(7, &[]);
                self.bytes(format!("{fault:?}").as_bytes());
            }
        }
    }

    fn inner(&mut self, inner: &Inner) {
        match inner {
            Inner::Job { ticket, job } => {
                self.kind(8, &[ticket.0]);
                self.job(job);
            }
            Inner::Done { ticket, result, .. } => {
                self.kind(9, &[ticket.0]);
                self.done(result);
            }
            Inner::Sync => self.kind(10, &[]),
            Inner::Merged { ticket, result } => {
                self.kind(11, &[ticket.0, result.is_ok().into()]);
                self.bytes(result.as_ref().ok().and_then(Option::as_ref).unwrap_or(&Bytes::new()));
            }
            Inner::Load { component } => {
                self.kind(13, &[]);
                self.bytes(&component.0);
            }
            Inner::Wake => self.kind(12, &[]),
        }
    }

    fn envelope(&mut self, envelope: &Envelope) {
        self.number(envelope.wall.0);
        match &envelope.message {
            Message::Hello { catalogue, greeting, progress } => {
                self.bytes(&catalogue.0);
                self.bytes(&cbor::encode(progress));
                if let Some(Greeting { actor, upto, clear, number, heard, before }) = greeting {
                    let (of, heard) = heard.map_or((0, 0), |(actor, number)| (actor.0, number));
                    let before = before.map_or(0, |actor| actor.0);
                    self.kind(0, &[actor.0, upto.0, (*clear).into(), *number, of, heard, before]);
                }
            }
            Message::RecordPull => self.kind(14, &[]),
            Message::Record(record) => {
                self.kind(15, &[record.version]);
                self.bytes(&cbor::encode(record));
            }
            Message::Vote { ask, version, ballot, question } => {
                self.kind(16, &[*ask, *version, ballot.time.0, ballot.actor.0]);
                self.bytes(&cbor::encode(question));
            }
            Message::Voted { ask, ballot, reply } => {
                self.kind(17, &[*ask, ballot.time.0, ballot.actor.0]);
                self.bytes(&cbor::encode(reply));
            }
            Message::CataloguePull => self.kind(1, &[]),
            Message::Catalogue { ask, catalogue } => {
                self.kind(2, &[ask.unwrap_or_default()]);
                self.bytes(&catalogue.digest().0);
            }
            Message::CatalogueHave { ask } => self.kind(3, &[*ask]),
            Message::ComponentAsk { ask, component } => {
                self.kind(12, &[*ask]);
                self.bytes(&component.0);
            }
            Message::ComponentState { ask, state } => {
                self.kind(13, &[*ask]);
                self.bytes(&cbor::encode(state));
            }
            Message::Replicate { ask, key, object } => {
                self.kind(4, &[*ask]);
                self.bytes(&key.key);
                self.object(object);
            }
            Message::Hint { ask, owner, key, object } => {
                self.kind(10, &[*ask, owner.0]);
                self.bytes(&key.key);
                self.object(object);
            }
            Message::Replicated { ask, refused } => {
                self.kind(5, &[*ask, refused.map_or(0, |refusal| refusal as u64 + 1)]);
            }
            Message::Read { ask, key, bodies } => {
                self.kind(6, &[*ask, (*bodies).into()]);
                self.bytes(&key.key);
            }
            Message::Held { ask, object } => {
                self.kind(7, &[*ask]);
                match object {
                    Ok(object) => self.object(object),
                    Err(refusal) => self.number(*refusal as u64),
                }
            }
            Message::Forward { ask, body, .. } => {
                self.kind(8, &[*ask]);
                self.bytes(body);
            }
            Message::Forwarded { ask, header, body } => {
                self.kind(9, &[*ask]);
                let body = body.first().cloned().unwrap_or_default();
                self.response(&header.response, &body);
            }
            Message::Explain { ask, key } => {
                self.kind(14, &[*ask]);
                self.bytes(&key.key);
            }
            Message::Explained { ask, account } => {
                self.kind(15, &[*ask]);
                match account {
                    Ok(account) => account.stored.iter().for_each(|s| self.object(&s.object)),
                    Err(refusal) => self.number(*refusal as u64),
                }
            }
            Message::Exchange { ask, question } => {
                self.kind(10, &[*ask]);
                self.question(question);
            }
            Message::Exchanged { ask, answer } => {
                self.kind(11, &[*ask]);
                match answer {
                    Ok(answer) => self.answer(answer),
                    Err(refusal) => self.number(*refusal as u64),
                }
            }
            Message::List { ask, question } => {
                self.kind(14, &[*ask, question.partition.0.into(), question.limit.into()]);
            }
            Message::Keys { ask, partition, page } => {
                let keys = page.as_ref().map_or(0, |page| page.keys.len() as u64);
                self.kind(15, &[*ask, partition.0.into(), keys]);
            }
            Message::Ballot { ask, key, ballot, question } => {
                self.kind(12, &[*ask, ballot.time.0]);
                self.bytes(&key.key);
                self.ballot(question);
            }
            Message::Balloted { ask, ballot, reply } => {
                self.kind(13, &[*ask, ballot.time.0]);
                match reply {
                    Ok(reply) => self.balloted(reply),
                    Err(refusal) => self.number(*refusal as u64),
                }
            }
        }
    }

    fn question(&mut self, question: &Question) {
        match question {
            Question::Roots(roots) => {
                for (tree, root) in roots {
                    self.kind(0, &[tree.partition.0.into(), tree.copies.into(), *root]);
                }
            }
            Question::Branches(tree) => {
                self.kind(1, &[tree.partition.0.into(), tree.copies.into()])
            }
            Question::Leaves(tree, branches) => {
                self.kind(2, &[tree.partition.0.into(), tree.copies.into()]);
                branches.iter().for_each(|branch| self.number(branch.into()));
            }
            Question::Heads { span, prints } => {
                self.kind(3, &[span.tree.partition.0.into(), span.tree.copies.into()]);
                self.kind(0, prints);
            }
            Question::Marks { actor, marks } => {
                self.kind(4, &[actor.0]);
                self.tree_marks(marks);
            }
        }
    }

    fn tree_marks(&mut self, marks: &[(Tree, Marks)]) {
        for (tree, marks) in marks {
            self.kind(0, &[tree.partition.0.into(), tree.copies.into()]);
            self.marks(marks);
        }
    }

    fn marks(&mut self, marks: &Marks) {
        self.number(marks.digest());
    }

    fn answer(&mut self, answer: &Answer) {
        match answer {
            Answer::Roots(trees) => {
                for tree in trees {
                    self.kind(0, &[tree.partition.0.into(), tree.copies.into()]);
                }
            }
            Answer::Branches { digests, actor, marks } => {
                self.kind(3, digests);
                self.number(actor.0);
                self.marks(marks);
            }
            Answer::Digests(digests) => self.kind(1, digests),
            Answer::Marks => self.kind(4, &[]),
            Answer::Heads { heads, missing, pace, .. } => {
                self.number(*pace);
                self.kind(2, missing);
                for (key, object) in heads {
                    self.bytes(&key.key);
                    self.object(object);
                }
            }
        }
    }

    fn response(&mut self, response: &Response, body: &Bytes) {
        match response {
            Response::Written(written) => self.bytes(&written.context),
            Response::Found(found) => self.bytes(&found.context),
            Response::Listed(listed) => listed.keys.iter().for_each(|key| self.bytes(key)),
            Response::Conflict(conflict) => self.bytes(&conflict.found.context),
            Response::Failed(failure) => self.bytes(failure.message.as_bytes()),
            Response::BucketSaved { missing } => self.number(missing.len() as u64),
            Response::Buckets(_)
            | Response::Layout(_)
            | Response::Plugin(_)
            | Response::Cluster(_)
            | Response::Explained(_)
            | Response::Status(_) => self.number(0),
        }
        self.bytes(body);
    }

    fn object(&mut self, object: &Object) {
        self.context(&object.context);
        self.marks(&object.marks);
        for version in &object.versions {
            self.number(version.dot.time.0);
            self.bytes(&version.content.digest().map(|d| d.0).unwrap_or_default());
            self.context(&version.covers);
            self.number(version.expires.map_or(0, |expires| expires.0));
        }
    }

    fn ballot_step(&mut self, step: &BallotStep) {
        match step {
            BallotStep::Prepare { ballot, .. } => self.kind(20, &[ballot.time.0]),
            BallotStep::Accept { ballot, proposal } => {
                self.kind(21, &[ballot.time.0]);
                self.object(proposal);
            }
            BallotStep::Commit { object, .. } => self.object(object),
            BallotStep::Settle { ballot, .. } => self.kind(22, &[ballot.time.0]),
        }
    }

    fn ballot(&mut self, question: &BallotQuestion) {
        match question {
            BallotQuestion::Prepare => self.kind(0, &[]),
            BallotQuestion::Accept(object) | BallotQuestion::Commit { object, .. } => {
                self.object(object);
            }
            BallotQuestion::Settled { by_all } => self.kind(1, &[(*by_all).into()]),
        }
    }

    fn balloted(&mut self, reply: &BallotReply) {
        match reply {
            BallotReply::Promised { accepted, proposal, object } => {
                self.kind(0, &[accepted.map_or(0, |ballot| ballot.time.0)]);
                proposal.iter().for_each(|proposal| self.object(proposal));
                self.object(object);
            }
            BallotReply::Accepted => self.kind(1, &[]),
            BallotReply::Committed => self.kind(2, &[]),
            BallotReply::Outbid(later) => self.kind(3, &[later.time.0]),
        }
    }

    fn context(&mut self, context: &Context) {
        for interval in context.intervals() {
            self.kind(0, &[interval.actor.0, interval.from.0, interval.to.0]);
        }
    }

    fn job(&mut self, job: &StoreJob) {
        match job {
            StoreJob::Save { name, bytes } => {
                self.bytes(name.as_bytes());
                self.bytes(bytes);
            }
            StoreJob::Hints { owner, limit, .. } => self.kind(5, &[owner.0, *limit as u64]),
            StoreJob::Survey(survey) => self.survey(survey),
            StoreJob::Raise(marks) => self.tree_marks(marks),
            StoreJob::Forget(tree) => {
                self.kind(6, &[tree.partition.0.into(), tree.copies.into()]);
            }
            StoreJob::Key(job) => {
                self.bytes(&job.key.key);
                match &job.task {
                    Task::Read { .. } => self.kind(1, &[]),
                    Task::Apply { steps, .. } => steps.iter().for_each(|step| match step {
                        Step::Put(put) => self.number(put.dot.time.0),
                        Step::Join(object) | Step::Keep(object, _) => self.object(object),
                        Step::HandedOver(handed) => self.object(&handed.object),
                        Step::Ballot(step) => self.ballot_step(step),
                        Step::Collect(collect) => self.number(collect.before.0),
                        Step::Expire(upto) => self.number(upto.0),
                        Step::Reassign(reassign) => self.number(reassign.from.0),
                        Step::Leave => self.kind(23, &[]),
                    }),
                    Task::Replace { stored } => self.object(&stored.object),
                }
            }
        }
    }

    fn survey(&mut self, survey: &Survey) {
        let mut tree = |tree: &Tree| {
            self.kind(0, &[tree.partition.0.into(), tree.copies.into()]);
        };
        match survey {
            Survey::Roots(trees) => trees.iter().for_each(tree),
            Survey::Sums(of) => tree(of),
            Survey::Heads { span, .. } => tree(&span.tree),
            Survey::Left { tree: of, .. } | Survey::Leftover { tree: of, .. } => tree(of),
            Survey::Keys(question) => self.kind(1, &[question.partition.0.into()]),
            Survey::Due { upto, limit, .. } => self.kind(2, &[upto.0, *limit as u64]),
        }
    }

    fn surveyed(&mut self, surveyed: &Surveyed) {
        match surveyed {
            Surveyed::Roots(roots) => self.kind(0, roots),
            Surveyed::Sums(sums, marks) => self.kind(1, &[sums.root(), marks.digest()]),
            Surveyed::Left(left) => {
                self.kind(3, &[left.seen, left.marks.digest()]);
                for (key, object) in &left.tombstones {
                    self.bytes(&key.key);
                    self.object(object);
                }
            }
            Surveyed::Due(due) => {
                for (at, partition, key) in due {
                    self.kind(4, &[at.0, partition.0.into()]);
                    self.bytes(&key.key);
                }
            }
            Surveyed::Leftover { keys, .. } => keys.iter().for_each(|key| self.bytes(&key.key)),
            Surveyed::Keys(page) => page.keys.iter().for_each(|(key, _)| self.bytes(key)),
            Surveyed::Heads(page) => {
                self.kind(2, &[]);
                for (key, object) in &page.heads {
                    self.bytes(&key.key);
                    self.object(object);
                }
            }
        }
    }

    fn done(&mut self, result: &Result<Done, StoreError>) {
        match result {
            Ok(Done::Saved) => self.kind(1, &[]),
            Ok(Done::Hints(page)) => self.kind(4, &[page.len() as u64]),
            Ok(Done::Surveyed(surveyed)) => self.surveyed(surveyed),
            Ok(Done::Key(Outcome::Read(stored))) => {
                self.kind(2, &[stored.is_some().into()]);
            }
            Ok(Done::Key(Outcome::Applied(applied))) => self.object(&applied.object),
            Ok(Done::Key(Outcome::Fold { stored, .. })) => self.object(&stored.object),
            Ok(Done::Key(Outcome::Crowded { object, .. })) => self.object(object),
            Err(_) => self.kind(3, &[]),
        }
    }
}
