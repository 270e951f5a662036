//! What a machine is: the part of it that its seed decides and that survives a reset.

use std::net::SocketAddr;
use std::time::Duration;

use uuid::Uuid;

use crate::parts::Parts;

/// Times of a machine. Real ones take minutes; a simulated one shows the same order of things in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// From answering `:reboot` or `:poweroff` until it stops listening.
    pub stopping: Duration,
    /// How long it does not listen while it reboots.
    pub down: Duration,
    /// From listening again until it says that it is ready.
    pub starting: Duration,
    /// How long it takes to download and write an update.
    pub updating: Duration,
    /// How long an evacuation or a restore takes.
    pub moving: Duration,
    /// Between two attempts to tell the center something; servers.md 6.1 says 30 s.
    pub telling_again: Duration,
    /// Between two attempts to register (servers.md 5.2).
    pub registering_again: Duration,
    /// How long an answer of a slow machine takes.
    pub slow: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            stopping: Duration::from_millis(300),
            down: Duration::from_secs(2),
            starting: Duration::from_millis(500),
            updating: Duration::from_secs(3),
            moving: Duration::from_secs(1),
            telling_again: Duration::from_secs(30),
            registering_again: Duration::from_secs(1),
            slow: Duration::from_secs(3),
        }
    }
}

/// One machine as it left the factory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Number in the fleet, from 1.
    pub number: usize,
    /// Host name it is installed with: `sim-0001`.
    pub name: String,
    /// DMI product UUID that it left the factory with; see [`Spec::firmware_uuid`].
    pub system_uuid: Uuid,
    /// That of another machine of the fleet.
    pub neighbour: Uuid,
    /// What was changed in it since.
    pub parts: Parts,
    /// 32 hex characters.
    pub machine_id: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Version it is installed with.
    pub version: String,
    /// Channel it is installed with.
    pub channel: String,
    /// Its primary application, such as `incus`.
    pub application: String,
    /// Seconds since the epoch at which the fleet's own clock is zero.
    pub epoch: i64,
}

/// What a seed says about one thing of one machine: always the same, and unlike any other.
pub fn draw(seed: u64, number: usize, what: &str) -> Uuid {
    Uuid::new_v5(&Uuid::from_u64_pair(seed, number as u64), what.as_bytes())
}

impl Spec {
    /// Machine `number` of the fleet with this seed.
    pub fn new(seed: u64, number: usize, address: SocketAddr, version: &str, channel: &str, epoch: i64) -> Self {
        Self {
            number,
            name: format!("sim-{number:04}"),
            system_uuid: draw(seed, number, "system uuid"),
            neighbour: draw(seed, if number == 1 { 2 } else { 1 }, "system uuid"),
            parts: Parts::default(),
            machine_id: draw(seed, number, "machine id").simple().to_string(),
            address,
            version: version.to_owned(),
            channel: channel.to_owned(),
            application: "incus".to_owned(),
            epoch,
        }
    }

    /// Hardware address of its port `port`, locally administered.
    pub fn mac(&self, port: u8) -> String {
        let n = self.number;
        format!("02:51:{:02x}:{:02x}:{:02x}:{port:02x}", (n >> 16) & 0xff, (n >> 8) & 0xff, n & 0xff)
    }

    /// DMI product UUID that it tells.
    pub fn firmware_uuid(&self) -> Uuid {
        self.parts.board.unwrap_or(self.system_uuid)
    }

    /// Serial number that it tells: of the system, the chassis and the mainboard.
    pub fn serial(&self) -> String {
        self.parts.serial.clone().unwrap_or_else(|| serial_of(self.firmware_uuid()))
    }

    /// Serial number of the disk in a slot.
    pub fn disk_serial(&self, slot: usize) -> String {
        let factory = serial_of(self.system_uuid);
        match self.parts.disks.get(slot) {
            None | Some(0) => format!("{factory}-{slot}"),
            Some(times) => format!("{factory}-{slot}R{times}"),
        }
    }

    /// Hardware address of a port of the cards; those behind the first two may have been replaced.
    pub fn card_mac(&self, port: u8) -> String {
        self.mac(if port < 2 { port } else { port.wrapping_add(self.parts.cards.wrapping_mul(16)) })
    }
}

/// The serial number of the machine whose mainboard has this UUID.
pub(crate) fn serial_of(uuid: Uuid) -> String {
    format!("SIM{:08X}", uuid.as_fields().0)
}
