//! All machines together: options, addresses, and one task a machine that lets its model act.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use muster_clients::tls::{Curve, Identity, Kind, TlsError};
use tokio::net::TcpSocket;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::fault::{self, FaultCount};
use crate::parts::{self, AlterationCount};
use crate::spec::{Spec, Timing, draw};
use door::Door;
use driver::Place;

mod door;
mod driver;
mod simulated;

pub use simulated::{FleetEvent, Simulated, What};

/// Where machines listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bind {
    /// All on 127.0.0.1, each on a free port of its own. A center that takes the port of the management address for
    /// granted (servers.md 5.4) does not find them again after its first poll.
    Ports,
    /// Each on an address of its own in 127.64.0.0/10, all on this port, as real machines are on 8443.
    Addresses {
        /// The port.
        port: u16,
    },
    /// Each on an address of its own in 127.64.0.0/10, as [`Bind::Addresses`], behind one listener on 0.0.0.0 that takes
    /// connections of the loopback only. For thousands of machines in one process: one costs no descriptor but its connections.
    /// A machine that is off, or that refuses, resets a connection before its first byte instead of refusing it.
    Shared {
        /// The port; 0 for a free one.
        port: u16,
    },
}

/// The center that machines are installed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CenterOptions {
    /// `https://host:port`.
    pub url: String,
    /// Its certificate (PEM); without it the system's authorities decide.
    pub certificate_pem: Option<String>,
    /// The token to register with.
    pub token: String,
}

/// Whom machines trust before they have registered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trusted {
    /// Nobody.
    #[default]
    Nobody,
    /// Whoever has one of these fingerprints.
    Fingerprints(Vec<String>),
}

/// What a fleet is.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// Number of machines.
    pub count: usize,
    /// Decides names of hardware, and who is hit by faults.
    pub seed: u64,
    /// Where they listen.
    pub bind: Bind,
    /// How many have which fault.
    pub faults: Vec<FaultCount>,
    /// What is changed in how many of them when they are reset.
    pub at_reset: Vec<AlterationCount>,
    /// Whom they register with; without it they only listen.
    pub center: Option<CenterOptions>,
    /// Whom they trust before.
    pub trusted: Trusted,
    /// Version they are installed with.
    pub version: String,
    /// Channel they are installed with.
    pub channel: String,
    /// How fast things happen.
    pub timing: Timing,
    /// They are switched on evenly over this time.
    pub boot_spread: Duration,
    /// The time at which the fleet begins; certificates are valid from an hour before.
    pub now: SystemTime,
    /// Where everything that happens is told. Subscribe before the start to miss nothing.
    pub events: broadcast::Sender<FleetEvent>,
}

impl FleetOptions {
    /// Machines without faults and without a center, on ports of 127.0.0.1.
    pub fn new(count: usize, seed: u64, now: SystemTime) -> Self {
        Self {
            count,
            seed,
            bind: Bind::Ports,
            faults: vec![],
            at_reset: vec![],
            center: None,
            trusted: Trusted::Nobody,
            version: "202511010000".to_owned(),
            channel: "stable".to_owned(),
            timing: Timing::default(),
            boot_spread: Duration::ZERO,
            now,
            events: broadcast::channel(8192).0,
        }
    }
}

/// Why a fleet cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// No address for a machine.
    #[error("cannot bind {address}: {cause}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        cause: io::Error,
    },
    /// No certificate for a machine.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A running fleet. Dropping it ends all machines at once, without a word to the center.
pub struct Fleet {
    machines: Vec<Arc<Simulated>>,
    events: broadcast::Sender<FleetEvent>,
    stop: CancellationToken,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Fleet {
    /// Makes all machines and switches them on.
    pub async fn start(options: FleetOptions) -> Result<Self, SimError> {
        let fleet = Self {
            machines: Vec::with_capacity(options.count),
            events: options.events.clone(),
            stop: CancellationToken::new(),
        };
        let faults = fault::assign(options.seed, options.count, &options.faults);
        let epoch = options.now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let began = Instant::now();
        let provider = options.center.as_ref().map(|center| {
            let mut config = BTreeMap::from([
                ("server_url".to_owned(), center.url.clone()),
                ("server_token".to_owned(), center.token.clone()),
            ]);
            config.extend(center.certificate_pem.clone().map(|pem| ("server_certificate".to_owned(), pem)));
            config
        });
        let (mut fleet, mut used) = (fleet, HashSet::new());
        let bind = match options.bind {
            Bind::Ports => Way::Ports,
            Bind::Addresses { port } => Way::Addresses { port },
            Bind::Shared { port } => {
                let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
                let door = Door::open(port, fleet.stop.child_token());
                Way::Behind(door.map_err(|cause| SimError::Bind { address, cause })?)
            }
        };
        let altered = parts::assign(options.seed, options.count, &options.at_reset);
        for (index, (fault, at_reset)) in faults.into_iter().zip(altered).enumerate() {
            let number = index + 1;
            let (place, address) = reserve(&bind, options.seed, number, &mut used)?;
            let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
            let spec = Spec::new(options.seed, number, address, &options.version, &options.channel, epoch);
            let birth = simulated::Birth {
                now: options.now,
                began,
                timing: options.timing,
                provider: provider.clone(),
                trusted: options.trusted.clone(),
                fault,
                at_reset,
                events: fleet.events.clone(),
            };
            let machine = Arc::new(Simulated::new(spec, birth)?);
            let spread = options.boot_spread.mul_f64(index as f64 / options.count as f64);
            machine.power_on_after(spread);
            tokio::spawn(driver::run(machine.clone(), place, fleet.stop.child_token()));
            fleet.machines.push(machine);
            if number % 64 == 0 {
                // Making certificates takes the processor; whoever waits for a socket must not wait for all of them.
                tokio::task::yield_now().await;
            }
        }
        Ok(fleet)
    }

    /// All machines, by number.
    pub fn machines(&self) -> &[Arc<Simulated>] {
        &self.machines
    }

    /// The machine with this number, from 1.
    pub fn machine(&self, number: usize) -> Option<&Arc<Simulated>> {
        self.machines.get(number.checked_sub(1)?)
    }

    /// What happens, from now on.
    pub fn events(&self) -> broadcast::Receiver<FleetEvent> {
        self.events.subscribe()
    }

    /// Offers a version to all machines: their next check for updates finds it.
    pub fn publish(&self, version: &str) {
        for machine in &self.machines {
            machine.publish(version);
        }
    }

    /// Waits until all machines are as `wanted`, at most `within`; says whether they are.
    pub async fn until(&self, within: Duration, wanted: impl Fn(&Simulated) -> bool) -> bool {
        let end = Instant::now() + within;
        loop {
            if self.machines.iter().all(|machine| wanted(machine)) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// [`Bind`], with the listener that is shared.
enum Way {
    Ports,
    Addresses { port: u16 },
    Behind(Arc<Door>),
}

/// An address of the machine's own. Its socket holds it for as long as it lives, so that nobody else gets it while the machine
/// is down; the listener binds the same address beside it, which both allow by `SO_REUSEADDR`.
fn reserve(
    bind: &Way,
    seed: u64,
    number: usize,
    used: &mut HashSet<SocketAddr>,
) -> Result<(Place, SocketAddr), SimError> {
    let port = match bind {
        Way::Ports => {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let reserved = reserve_port(address).map_err(|cause| SimError::Bind { address, cause })?;
            return Ok((Place::Own(reserved.0), reserved.1));
        }
        Way::Addresses { port } => *port,
        Way::Behind(door) => door.port(),
    };
    let mut attempt = 0;
    loop {
        let bits = draw(seed, number, &format!("address {attempt}")).as_fields().0;
        // 127.64.0.0/10 without the first and the last of each 256.
        let ip = Ipv4Addr::from(0x7f40_0000 | (bits >> 8) & 0x003f_ff00 | (1 + bits % 254));
        let address = SocketAddr::new(IpAddr::V4(ip), port);
        let place = match bind {
            _ if !used.insert(address) => Err(io::ErrorKind::AddrInUse.into()),
            Way::Behind(door) => Ok(Place::Behind(door.clone())),
            _ => reserve_address(address).map(Place::Own),
        };
        match place {
            Ok(place) => return Ok((place, address)),
            Err(cause) if cause.kind() == io::ErrorKind::AddrInUse && attempt < 64 => attempt += 1,
            Err(cause) => return Err(SimError::Bind { address, cause }),
        }
    }
}

/// A free port. Sharing is switched on only afterwards, or the kernel might choose one that is shared already.
fn reserve_port(address: SocketAddr) -> io::Result<(TcpSocket, SocketAddr)> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(false)?;
    socket.bind(address)?;
    socket.set_reuseaddr(true)?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

/// Exactly this address, also where connections of an earlier run linger.
fn reserve_address(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// A pair for a machine: it serves with it and presents it when it registers, as Incus' server certificate does.
fn identity(spec: &Spec, from: SystemTime) -> Result<Identity, TlsError> {
    let names = vec![spec.name.clone(), spec.address.ip().to_string()];
    Identity::generate(&Kind::Machine { names }, Curve::P256, &format!("root@{}", spec.name), from)
}

#[cfg(test)]
mod tests;
