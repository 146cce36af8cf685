//! A node that comes and goes while other things go wrong: it joins by a token, owns its share, and leaves again.
//!
//! In the time of faults an operator gets as far as the faults let them. In the calm they see to the rest: who was to join is a member
//! and has its copies, who was to leave has handed over and dropped all. Each time it is another node, with nothing on its disk, of the
//! same name and at the same address.

use std::fs::{self, File};
use std::io::Write as _;
use std::time::{Duration, Instant};

use kinfold_client::record::State;
use kinfold_client::{
    Client, ClusterStatus, Error as Refused, Layout, MemberChange, NodeId, Planned,
};
use tokio::time::{sleep, timeout};

use crate::calm::MEETING;
use crate::error::Error;
use crate::plan::{GUEST, NODES};
use crate::process::Node;
use crate::site::Site;

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(300);

/// The node that comes and goes, and how many came before it.
#[derive(Debug, Default)]
pub struct Guest {
    /// It, from when it is started first until it has left.
    pub node: Option<Node>,
    /// It is to leave.
    leaves: bool,
    /// It dials the others through the proxies.
    is_proxied: bool,
    count: usize,
    /// How it ended, where it should not have.
    pub ended: Vec<String>,
}

/// A node asks to join, if there is none already, and an operator commits that.
///
/// # Errors
/// It can't be started.
pub async fn comes(site: &Site, boss: &Client, within: Duration) -> Result<(), Error> {
    invite(site).await?;
    go_on(site, boss, within).await
}

/// An operator has it leave, if it is there.
///
/// # Errors
/// It can't be started.
pub async fn goes(site: &Site, boss: &Client, within: Duration) -> Result<(), Error> {
    site.guest.lock().await.leaves = true;
    go_on(site, boss, within).await
}

/// It is killed, and started again when somebody looks.
pub async fn dies(site: &Site) {
    if let Some(node) = &mut site.guest.lock().await.node {
        node.kill();
    }
}

/// Is there one, a member or about to become one?
pub async fn is_there(site: &Site) -> bool {
    site.guest.lock().await.node.is_some()
}

/// Stages that it joins or leaves, and waits until the members know.
///
/// # Errors
/// It can't be started, or they don't learn it.
pub async fn stage(site: &Site, boss: &Client, leaves: bool) -> Result<(), Error> {
    if leaves {
        site.guest.lock().await.leaves = true;
    } else {
        invite(site).await?;
    }
    let begun = Instant::now();
    loop {
        is_up(site).await?;
        let is_ready = leaves || site.guest.lock().await.is_proxied;
        if is_ready && is_staged(boss, leaves).await.unwrap_or(false) {
            return Ok(());
        }
        if begun.elapsed() > MEETING {
            return Err(Error::Stage("no change of the ring can be staged".to_owned()));
        }
        sleep(LOOK).await;
    }
}

async fn is_staged(boss: &Client, leaves: bool) -> Result<bool, Refused> {
    let status = boss.cluster_status().await?;
    let name = name();
    if !leaves {
        return Ok(asks(&status, &name));
    }
    let members = status.record.members();
    let Some((id, _)) = members.iter().find(|(_, member)| member.name == name) else {
        return Ok(false);
    };
    let missing = boss.stage(vec![(*id, Some(MemberChange::Leave { lost: false }))]).await?;
    Ok(missing.is_empty())
}

/// What a node plans of what is staged, once it can.
///
/// # Errors
/// It does not come to a plan.
pub async fn planned(operator: &Client) -> Result<Planned, Error> {
    let begun = Instant::now();
    loop {
        match operator.plan().await {
            Ok(planned) => return Ok(planned),
            Err(error) if begun.elapsed() > MEETING => return Err(error.into()),
            Err(_) => sleep(LOOK).await,
        }
    }
}

/// Has a node commit what is staged, once the members are ready for that. Says whether it was told so, or has found it done.
///
/// # Errors
/// It does not come to that.
pub async fn commit(operator: &Client) -> Result<bool, Error> {
    let begun = Instant::now();
    loop {
        if operator.cluster_status().await.is_ok_and(|status| status.record.is_changing()) {
            return Ok(false);
        }
        let committed = match operator.plan().await {
            Ok(planned) => operator.commit(planned.digest).await,
            Err(error) => Err(error),
        };
        match committed {
            Ok(_) => return Ok(true),
            Err(error) if begun.elapsed() > MEETING => return Err(error.into()),
            // Not every member has said yet that it is done with the change before.
            Err(_) => sleep(LOOK).await,
        }
    }
}

fn name() -> String {
    format!("n{}", GUEST + 1)
}

async fn invite(site: &Site) -> Result<(), Error> {
    let mut guest = site.guest.lock().await;
    if guest.node.is_none() {
        let mut node = site.newcomer(guest.count % NODES)?;
        node.start()?;
        guest.count += 1;
        (guest.leaves, guest.is_proxied) = (false, false);
        guest.node = Some(node);
    }
    Ok(())
}

async fn go_on(site: &Site, boss: &Client, within: Duration) -> Result<(), Error> {
    let whole = async {
        while !advance(site, boss).await? {
            sleep(LOOK).await;
        }
        Ok(())
    };
    // What is left to do is done in the calm.
    timeout(within, whole).await.unwrap_or(Ok(()))
}

/// Starts it, if it should run and does not: it ends by itself where no member answers who could take note that it asks to join.
///
/// # Errors
/// It can't be started.
pub async fn is_up(site: &Site) -> Result<(), Error> {
    let mut guest = site.guest.lock().await;
    let Guest { node: Some(node), is_proxied, ended, .. } = &mut *guest else { return Ok(()) };
    let config = node.folder.join("node.toml");
    if !*is_proxied && config.exists() {
        // It has made its configuration, and asks to join. The way to the others is said in that.
        node.kill();
        let failed = |error| Error::at("writing", &config)(error);
        let mut file = File::options().append(true).open(&config).map_err(failed)?;
        let dial = site.dial(GUEST).replace(", ", "\n");
        let storage = "cache_mib = 16\nmemtable_mib = 4\nreserve_mib = 24";
        write!(file, "\n[storage]\n{storage}\n[dial]\n{dial}\n").map_err(failed)?;
        *is_proxied = true;
    }
    if let Some((status, _)) = node.ended()
        && *is_proxied
    {
        ended.push(format!("{} ended by itself: {status}", node.name));
    }
    node.mend()?;
    node.revive()?;
    node.start()
}

/// Waits until the ring is as it should be, and nobody has anything left to copy or to drop. Gives who owns what from then on.
///
/// # Errors
/// It does not come to that.
pub async fn settle(site: &Site, boss: &Client) -> Result<Layout, Error> {
    let begun = Instant::now();
    if let Ok(status) = boss.cluster_status().await {
        let (version, phase) = (status.record.version, status.record.phase());
        let rests = if is_settled(&status) { ", and rests" } else { "" };
        eprintln!("    the ring is at version {version}, {phase:?}{rests}");
    }
    while !advance(site, boss).await? {
        if begun.elapsed() > MEETING {
            let how = boss.cluster_status().await;
            return Err(Error::Stage(format!("the ring does not come to rest: {how:?}")));
        }
        sleep(LOOK).await;
    }
    let mut guest = site.guest.lock().await;
    if guest.leaves
        && let Some(mut node) = guest.node.take()
    {
        node.terminate().await;
        let _ = fs::remove_dir_all(&node.folder);
    }
    Ok(boss.fetch_layout().await?)
}

/// Does what is to be done next, so that the ring becomes as it should be. Is it so?
async fn advance(site: &Site, boss: &Client) -> Result<bool, Error> {
    is_up(site).await?;
    let (name, leaves) = {
        let guest = site.guest.lock().await;
        (guest.node.as_ref().map(|node| node.name.clone()), guest.leaves)
    };
    // What is refused or not answered is tried again.
    Ok(step(boss, name.as_deref(), leaves).await.unwrap_or(false))
}

async fn step(boss: &Client, name: Option<&str>, leaves: bool) -> Result<bool, Refused> {
    let status = boss.cluster_status().await?;
    if !is_settled(&status) {
        return Ok(false);
    }
    let Some(name) = name else { return Ok(true) };
    let members = status.record.members();
    match members.iter().find(|(_, member)| member.name == name) {
        Some(_) if !leaves => return Ok(true),
        Some((id, _)) => {
            boss.stage(vec![(*id, Some(MemberChange::Leave { lost: false }))]).await?;
        }
        None if leaves && !asks(&status, name) => return Ok(true),
        // It has not come yet: what does not join need not leave.
        None if leaves => {
            let staged = status.staged.iter().filter(|(_, change)| is_join(change, name));
            let take_back: Vec<_> = staged.map(|(id, _)| (*id, None)).collect();
            boss.stage(take_back).await?;
            return Ok(false);
        }
        None if asks(&status, name) => {}
        None => return Ok(false),
    }
    let planned = boss.plan().await?;
    boss.commit(planned.digest).await?;
    Ok(false)
}

fn is_join(change: &MemberChange, name: &str) -> bool {
    matches!(change, MemberChange::Join(member) if member.name == name)
}

fn asks(status: &ClusterStatus, name: &str) -> bool {
    status.staged.values().any(|change| is_join(change, name))
}

/// Has every member said, by the latest record, that it has nothing left to copy or to drop?
fn is_settled(status: &ClusterStatus) -> bool {
    let stable =
        matches!(&status.record.state, State::Stable { leaving, .. } if leaving.is_empty());
    let done = |id: &NodeId| {
        let said = status.progress.get(id).filter(|p| p.version == status.record.version);
        said.is_some_and(|progress| progress.to_copy == 0 && progress.to_drop == 0)
    };
    stable && status.record.members().keys().all(done)
}
