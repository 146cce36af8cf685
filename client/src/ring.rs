//! Asking about the ring, and changing who owns what.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kinfold_protocol::catalogue::MemberChange;
use kinfold_protocol::causality::Digest;
use kinfold_protocol::id::NodeId;
use kinfold_protocol::layout::Member;
use kinfold_protocol::message::client::Request;
use kinfold_protocol::message::cluster::{ClusterRequest, ClusterResponse, ClusterStatus};
use kinfold_protocol::plan::Plan;

use crate::answer;
use crate::client::{Call, Client};
use crate::course::Kind;
use crate::error::Error;
use crate::route::{self, Route};

/// What would come of what is staged.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// Its digest, to commit it by.
    pub digest: Digest,
}

impl Client {
    /// How the ring is, as one node knows it: who owns what, what is staged, how far a change has come.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn cluster_status(&self) -> Result<ClusterStatus, Error> {
        self.cluster_status_at(Route::Anyone).await
    }

    /// The same as this member knows it: what others have done it hears a little later than they.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn cluster_status_of(&self, member: &Member) -> Result<ClusterStatus, Error> {
        self.cluster_status_at(Route::Just(route::target(member, self.addresses()))).await
    }

    async fn cluster_status_at(&self, route: Route) -> Result<ClusterStatus, Error> {
        match self.ask_ring_at(route, Kind::Read, ClusterRequest::Status).await? {
            ClusterResponse::Status(status) => Ok(*status),
            ClusterResponse::Staged { .. }
            | ClusterResponse::Planned { .. }
            | ClusterResponse::Decided { .. } => Err(answer::other()),
        }
    }

    /// Stages changes of members, each by the identity of the member that it concerns; none takes back what is staged of it.
    /// Nothing moves before a plan of it is committed. Gives the members that don't know of it yet. Needs an admin's
    /// certificate; a node may stage that it joins itself.
    ///
    /// # Errors
    /// [`Error::Refused`] with `BadRequest` for a change that can't be, `Forbidden` without the role.
    pub async fn stage(
        &self,
        changes: Vec<(NodeId, Option<MemberChange>)>,
    ) -> Result<Vec<NodeId>, Error> {
        match self.ask_ring(Kind::Write(None), ClusterRequest::Stage(changes)).await? {
            ClusterResponse::Staged { missing } => Ok(missing),
            ClusterResponse::Status(_)
            | ClusterResponse::Planned { .. }
            | ClusterResponse::Decided { .. } => Err(answer::other()),
        }
    }

    /// What would come of what is staged.
    ///
    /// # Errors
    /// [`Error::Refused`] with `BadRequest`: nothing is staged, or it can't be done.
    pub async fn plan(&self) -> Result<Planned, Error> {
        match self.ask_ring(Kind::Read, ClusterRequest::Plan).await? {
            ClusterResponse::Planned { plan, digest } => Ok(Planned { plan: *plan, digest }),
            ClusterResponse::Status(_)
            | ClusterResponse::Staged { .. }
            | ClusterResponse::Decided { .. } => Err(answer::other()),
        }
    }

    /// Makes the plan of this digest: the members vote on it. Gives the version of the ring's record from then on. Needs an
    /// admin's certificate.
    ///
    /// # Errors
    /// [`Error::Refused`] with `Outdated`: the plan is not what would come of what is staged now. [`Error::Unknown`]: no
    /// majority answered in time, and the vote may still come out either way; see [`cluster_status`](Self::cluster_status).
    pub async fn commit(&self, plan: Digest) -> Result<u64, Error> {
        self.decide(ClusterRequest::Commit { plan }).await
    }

    /// Takes back a change that was committed, while nothing is read from new owners. Gives the version of the ring's record
    /// from then on. Needs an admin's certificate.
    ///
    /// # Errors
    /// [`Error::Refused`] with `Outdated`: there is none that could be taken back. [`Error::Unknown`] as at
    /// [`commit`](Self::commit).
    pub async fn abort(&self) -> Result<u64, Error> {
        self.decide(ClusterRequest::Abort).await
    }

    async fn decide(&self, request: ClusterRequest) -> Result<u64, Error> {
        match self.ask_ring(Kind::Write(None), request).await? {
            ClusterResponse::Decided { version } => Ok(version),
            ClusterResponse::Status(_)
            | ClusterResponse::Staged { .. }
            | ClusterResponse::Planned { .. } => Err(answer::other()),
        }
    }

    async fn ask_ring(
        &self,
        kind: Kind,
        request: ClusterRequest,
    ) -> Result<ClusterResponse, Error> {
        self.ask_ring_at(Route::Anyone, kind, request).await
    }

    async fn ask_ring_at(
        &self,
        route: Route,
        kind: Kind,
        request: ClusterRequest,
    ) -> Result<ClusterResponse, Error> {
        let deadline = Instant::now() + self.default_deadline().max(Duration::from_millis(1));
        let request = Request::Cluster(request);
        let call = Call { kind, route, request, body: Bytes::new(), repeated: false };
        answer::cluster(self.run(call, deadline).await?)
    }
}
