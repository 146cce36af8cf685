//! How each fault is carried out, and mended again.

use std::sync::Mutex;
use std::time::Duration;

use kinfold_client::Client;
use rustix::process::Signal;
use tokio::time::sleep;

use crate::disk;
use crate::error::Error;
use crate::guest;
use crate::load::Load;
use crate::plan::{Fault, GUEST, NODES, Strike};
use crate::proxy::CALM;
use crate::report::Tally;
use crate::shim;
use crate::site::Site;

/// How long a node may take, after it was started again in a rotation, before the next one is stopped.
const BETWEEN: Duration = Duration::from_millis(700);

/// What faults are carried out on.
pub struct Scene<'s> {
    /// The cluster.
    pub site: &'s Site,
    /// Its operator.
    pub boss: &'s Client,
    /// The clients, who have to know of lost disks.
    pub load: &'s Load,
    /// What is counted.
    pub tally: &'s Mutex<Tally>,
}

impl Scene<'_> {
    /// Carries out a fault at its time, and mends it.
    ///
    /// # Errors
    /// The system does not let us.
    pub async fn carry_out(&self, strike: &Strike) -> Result<(), Error> {
        sleep(Duration::from_millis(strike.at)).await;
        let lasts = Duration::from_millis(strike.lasts);
        let done = match &strike.fault {
            Fault::Kill(node) => self.kill(*node, lasts).await?,
            Fault::KillAll => self.kill_all(lasts).await?,
            Fault::Restart(node) => self.restart(*node, lasts).await?,
            Fault::Freeze(node) => {
                self.site.hold(*node).await.signal(Signal::STOP);
                sleep(lasts).await;
                self.site.hold(*node).await.signal(Signal::CONT);
                true
            }
            Fault::Clock(node, ms) => {
                self.site.hold(*node).await.shim.step_clock(*ms)?;
                sleep(lasts).await;
                self.site.hold(*node).await.shim.step_clock(0)?;
                true
            }
            Fault::FullDisk(node, left) => self.full_disk(*node, *left, lasts).await?,
            Fault::Descriptors(node) => self.descriptors(*node, lasts).await?,
            Fault::SlowDisk(node, by) => {
                self.site.hold(*node).await.shim.slow_syncs(*by)?;
                sleep(lasts).await;
                self.site.hold(*node).await.shim.slow_syncs(0)?;
                true
            }
            Fault::FailingDisk(node) => self.failing_disk(*node, lasts).await?,
            Fault::Wipe(node) => self.wipe(*node, lasts).await?,
            Fault::Restore(node) => self.restore(*node, lasts).await?,
            Fault::Rotate => self.rotate().await?,
            Fault::Join => {
                guest::comes(self.site, self.boss, lasts).await?;
                true
            }
            Fault::Leave => {
                guest::goes(self.site, self.boss, lasts).await?;
                true
            }
            Fault::OneWayCut(cuts) | Fault::Split(cuts) => {
                self.site.proxies.cut(cuts);
                sleep(lasts).await;
                self.site.proxies.cut(&[]);
                true
            }
            Fault::Loss(weather)
            | Fault::Delay(weather)
            | Fault::Reordering(weather)
            | Fault::Duplication(weather) => {
                self.site.proxies.turn(*weather);
                sleep(lasts).await;
                self.site.proxies.turn(CALM);
                true
            }
        };
        self.count(strike.fault.kind(), done);
        Ok(())
    }

    fn count(&self, kind: &'static str, done: bool) {
        let mut tally = self.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tally.count(kind, done);
    }

    async fn kill(&self, number: usize, lasts: Duration) -> Result<bool, Error> {
        if number == GUEST {
            // Whoever sees to its coming and going starts it again.
            guest::dies(self.site).await;
            return Ok(true);
        }
        let mut node = self.site.hold(number).await;
        node.kill();
        sleep(lasts).await;
        node.start()?;
        Ok(true)
    }

    async fn kill_all(&self, lasts: Duration) -> Result<bool, Error> {
        let mut nodes = Vec::new();
        for number in 0..NODES {
            nodes.push(self.site.hold(number).await);
        }
        nodes.iter_mut().for_each(|node| node.kill());
        sleep(lasts.min(Duration::from_secs(1))).await;
        nodes.iter_mut().try_for_each(|node| node.start())?;
        Ok(true)
    }

    async fn restart(&self, number: usize, lasts: Duration) -> Result<bool, Error> {
        let mut node = self.site.hold(number).await;
        node.terminate().await;
        sleep(lasts).await;
        node.start()?;
        Ok(true)
    }

    async fn full_disk(&self, number: usize, left: u64, lasts: Duration) -> Result<bool, Error> {
        {
            let mut node = self.site.hold(number).await;
            let Some(disk) = &node.disk else { return Ok(false) };
            disk.fill(left)?;
            node.excuse();
        }
        sleep(lasts).await;
        let mut node = self.site.hold(number).await;
        if let Some(disk) = &node.disk {
            disk.make_room()?;
        }
        node.revive()?;
        Ok(true)
    }

    async fn descriptors(&self, number: usize, lasts: Duration) -> Result<bool, Error> {
        {
            let mut node = self.site.hold(number).await;
            node.limit_files(true);
            node.excuse();
        }
        sleep(lasts).await;
        let mut node = self.site.hold(number).await;
        node.limit_files(false);
        node.revive()?;
        Ok(true)
    }

    async fn failing_disk(&self, number: usize, lasts: Duration) -> Result<bool, Error> {
        {
            let mut node = self.site.hold(number).await;
            node.shim.fail_syncs(shim::FAILS)?;
            node.excuse();
        }
        sleep(lasts).await;
        let mut node = self.site.hold(number).await;
        node.kill();
        node.shim.fail_syncs(0)?;
        node.start()?;
        Ok(true)
    }

    async fn wipe(&self, number: usize, lasts: Duration) -> Result<bool, Error> {
        let mut node = self.site.hold(number).await;
        self.load.record().keys.expose();
        node.kill();
        disk::remove(&node.data())?;
        sleep(lasts).await;
        node.start()?;
        Ok(true)
    }

    async fn restore(&self, number: usize, lasts: Duration) -> Result<bool, Error> {
        let kept = {
            let mut node = self.site.hold(number).await;
            node.terminate().await;
            let kept = node.folder.with_extension("kept");
            disk::copy(&node.data(), &kept)?;
            node.start()?;
            kept
        };
        sleep(lasts).await;
        let mut node = self.site.hold(number).await;
        self.load.record().keys.expose();
        node.kill();
        disk::copy(&kept, &node.data())?;
        disk::remove(&kept)?;
        node.start()?;
        Ok(true)
    }

    async fn rotate(&self) -> Result<bool, Error> {
        self.site.change_authority();
        for number in 0..NODES {
            let mut node = self.site.hold(number).await;
            node.terminate().await;
            self.site.new_certificate(number)?;
            node.start()?;
            drop(node);
            sleep(BETWEEN).await;
        }
        Ok(true)
    }
}
