//! The network between the nodes: a proxy for each node on its way to each other one, which loses, delays, doubles and reorders
//! datagrams as [`sim::net`] decides, and can be cut in one direction.
//!
//! Node A dials node B at the address of the proxy from A to B. What B answers on that connection comes back through the same proxy,
//! and counts as sent from B to A. So between two nodes there are two proxies, and a direction that is cut is cut in both.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sim::net::{Net, Weather};
use sim::rng::Rng;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A network that does nothing of its own.
pub const CALM: Weather = Weather { delay: 0, loss: 0, doubled: 0, straggling: 0 };

/// Datagrams on their way through one proxy in one direction. One more is lost.
const MOST_UNDER_WAY: usize = 4_096;

/// The longest datagram.
const LONGEST: usize = 65_535;

/// What becomes of each datagram.
#[derive(Debug)]
struct Fate {
    from: usize,
    to: usize,
    net: Mutex<Net>,
}

impl Fate {
    fn new(from: usize, to: usize, rng: Rng) -> Self {
        Self { from, to, net: Mutex::new(Net::new(rng, CALM)) }
    }

    fn net(&self) -> MutexGuard<'_, Net> {
        self.net.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The microseconds after which the next datagram arrives: never, once or twice.
    fn next(&self) -> [Option<u64>; 2] {
        self.net().between_nodes(self.from, self.to)
    }
}

/// All proxies.
#[derive(Debug)]
pub struct Proxies {
    /// By who dials whom.
    addresses: BTreeMap<(usize, usize), SocketAddr>,
    /// Two of each proxy, one each way.
    fates: Vec<Arc<Fate>>,
    /// The tasks that pass datagrams on; they end when this is dropped.
    tasks: JoinSet<()>,
}

impl Proxies {
    /// Proxies at `host` between all nodes, which listen at these addresses.
    ///
    /// # Errors
    /// A socket can't be opened.
    pub async fn start(host: IpAddr, nodes: &[SocketAddr], rng: &mut Rng) -> io::Result<Self> {
        let mut proxies =
            Self { addresses: BTreeMap::new(), fates: Vec::new(), tasks: JoinSet::new() };
        for from in 0..nodes.len() {
            for (to, address) in nodes.iter().enumerate().filter(|(to, _)| *to != from) {
                let front = Arc::new(UdpSocket::bind((host, 0)).await?);
                let back = Arc::new(UdpSocket::bind((host, 0)).await?);
                proxies.addresses.insert((from, to), front.local_addr()?);
                let there = proxies.fate(from, to, rng);
                let again = proxies.fate(to, from, rng);
                let dialler = Arc::new(Mutex::new(None));
                let way = Way { receive: front.clone(), send: back.clone(), fate: there };
                proxies.tasks.spawn(way.pass_on(Ends::There(*address, dialler.clone())));
                let way = Way { receive: back, send: front, fate: again };
                proxies.tasks.spawn(way.pass_on(Ends::Back(*address, dialler)));
            }
        }
        Ok(proxies)
    }

    fn fate(&mut self, from: usize, to: usize, rng: &mut Rng) -> Arc<Fate> {
        let fate = Arc::new(Fate::new(from, to, rng.fork()));
        self.fates.push(fate.clone());
        fate
    }

    /// Where node `from` dials node `to`.
    ///
    /// # Panics
    /// There are no such two nodes.
    #[must_use]
    pub fn address(&self, from: usize, to: usize) -> SocketAddr {
        self.addresses[&(from, to)]
    }

    /// The weather changes, between all nodes.
    pub fn turn(&self, weather: Weather) {
        self.fates.iter().for_each(|fate| fate.net().turn(weather));
    }

    /// These directions are cut, and no others.
    pub fn cut(&self, cuts: &[(usize, usize)]) {
        for fate in &self.fates {
            let mut net = fate.net();
            net.mend();
            if cuts.contains(&(fate.from, fate.to)) {
                net.cut(fate.from, fate.to);
            }
        }
    }
}

/// One direction through a proxy.
struct Way {
    receive: Arc<UdpSocket>,
    send: Arc<UdpSocket>,
    fate: Arc<Fate>,
}

/// The address of the node that dialled, once it has.
type Dialler = Arc<Mutex<Option<SocketAddr>>>;

/// Who is on the ends of a direction.
enum Ends {
    /// To this node, from whoever dials.
    There(SocketAddr, Dialler),
    /// From this node, to who dialled.
    Back(SocketAddr, Dialler),
}

impl Ends {
    /// Where a datagram that came from there goes.
    fn onward(&self, came_from: SocketAddr) -> Option<SocketAddr> {
        let lock = |dialler: &Dialler| *dialler.lock().unwrap_or_else(PoisonError::into_inner);
        match self {
            Self::There(to, dialler) => {
                *dialler.lock().unwrap_or_else(PoisonError::into_inner) = Some(came_from);
                Some(*to)
            }
            Self::Back(from, dialler) if *from == came_from => lock(dialler),
            Self::Back(..) => None,
        }
    }
}

impl Way {
    async fn pass_on(self, ends: Ends) {
        let room = Arc::new(Semaphore::new(MOST_UNDER_WAY));
        let mut buffer = vec![0; LONGEST];
        loop {
            // A node that is away is told of by an error, on whichever call comes next.
            let Ok((length, came_from)) = self.receive.recv_from(&mut buffer).await else {
                continue;
            };
            let Some(onward) = ends.onward(came_from) else { continue };
            let delays = self.fate.next();
            for delay in delays.into_iter().flatten() {
                let datagram = &buffer[..length];
                if delay == 0 {
                    let _ = self.send.send_to(datagram, onward).await;
                    continue;
                }
                let Ok(place) = room.clone().try_acquire_owned() else { continue };
                let (send, datagram) = (self.send.clone(), datagram.to_vec());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_micros(delay)).await;
                    let _ = send.send_to(&datagram, onward).await;
                    drop(place);
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const BAD: Weather = Weather { delay: 300, loss: 200, doubled: 200, straggling: 100 };

    fn fates(seed: u64) -> Vec<[Option<u64>; 2]> {
        let fate = Fate::new(0, 1, Rng::new(seed));
        fate.net().turn(BAD);
        (0..1_000).map(|_| fate.next()).collect()
    }

    #[test]
    fn the_same_seed_decides_the_same_and_another_one_otherwise() {
        assert_eq!(fates(1), fates(1));
        assert_ne!(fates(1), fates(2));
        let count =
            |arrivals| fates(1).iter().filter(|f| f.iter().flatten().count() == arrivals).count();
        assert!(count(0) > 100 && count(1) > 100 && count(2) > 100);
    }

    #[tokio::test]
    async fn a_direction_is_cut_and_the_other_is_not() {
        let host = Ipv4Addr::LOCALHOST;
        let a = UdpSocket::bind((host, 0)).await.unwrap();
        let b = UdpSocket::bind((host, 0)).await.unwrap();
        let nodes = [a.local_addr().unwrap(), b.local_addr().unwrap()];
        let proxies = Proxies::start(host.into(), &nodes, &mut Rng::new(1)).await.unwrap();
        let to_b = proxies.address(0, 1);
        let mut buffer = [0; 16];
        a.send_to(b"one", to_b).await.unwrap();
        let (length, proxy) = b.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"one");

        proxies.cut(&[(0, 1)]);
        a.send_to(b"lost", to_b).await.unwrap();
        b.send_to(b"two", proxy).await.unwrap();
        let (length, from) = a.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..length], from), (&b"two"[..], to_b));

        proxies.cut(&[]);
        a.send_to(b"three", to_b).await.unwrap();
        let (length, _) = b.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"three", "what was sent while it was cut never comes");

        proxies.turn(Weather { doubled: 1_000, ..CALM });
        a.send_to(b"four", to_b).await.unwrap();
        for _ in 0..2 {
            let (length, _) = b.recv_from(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..length], b"four");
        }
    }
}
