//! Reading an inventory from Incus' resources document (`servers.md` 7.1).

use serde_json::Value;

use super::inventory::{Card, Disk, DiskClass, Gpu, Inventory, Port, Processor, System};

/// Items of a list that are read; the largest machines have a tenth of it.
const ITEMS: usize = 512;
/// Ports of one card that are read.
const PORTS: usize = 64;
/// Characters of a text that are kept.
const TEXT: usize = 128;

/// Vendors of graphics that belong to a BMC or to a virtual machine: ASPEED, Matrox, QEMU, Red Hat, VMware, Cirrus.
const CONSOLE_GRAPHICS: [&str; 7] = ["1a03", "102b", "1234", "1af4", "1b36", "15ad", "1013"];

/// What vendors leave in place of a serial number, in lower case.
const PLACEHOLDERS: [&str; 24] = [
    "0123456789",
    "01234567",
    "123456789",
    "1234567890",
    "base board serial number",
    "chassis serial number",
    "default",
    "default string",
    "empty",
    "fill by oem",
    "invalid",
    "n/a",
    "na",
    "no asset information",
    "none",
    "not applicable",
    "not available",
    "not specified",
    "o.e.m.",
    "oem",
    "system serial number",
    "to be filled by o.e.m.",
    "undefined",
    "unknown",
];

/// UUIDs that vendors ship on more than one machine, beside those of one repeated digit.
const SHARED_UUIDS: [&str; 3] = [
    "03000200-0400-0500-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
    "00020003-0004-0005-0006-000700080009",
];

impl Inventory {
    /// Reads what Incus says of a machine's resources. What is missing or of another type than it should be is not known;
    /// lists and texts are cut at a length that no real machine reaches.
    pub fn read(resources: &Value) -> Self {
        let mut inventory = Self {
            system: system(&resources["system"]),
            architecture: text(&resources["cpu"]["architecture"]),
            processors: items(&resources["cpu"]["sockets"]).map(processor).collect(),
            memory_gib: installed_gib(number(&resources["memory"]["total"])),
            disks: items(&resources["storage"]["disks"]).filter_map(disk).collect(),
            cards: items(&resources["network"]["cards"]).filter_map(card).collect(),
            gpus: items(&resources["gpu"]["cards"]).filter_map(gpu).collect(),
        };
        inventory.processors.sort();
        inventory.disks.sort();
        inventory.cards.sort();
        inventory.gpus.sort();
        inventory
    }
}

fn system(value: &Value) -> System {
    System {
        uuid: uuid(&text(&value["uuid"])),
        vendor: text(&value["vendor"]),
        product: text(&value["product"]),
        serial: serial(&value["serial"]),
        chassis_vendor: text(&value["chassis"]["vendor"]),
        chassis_serial: serial(&value["chassis"]["serial"]),
        board_serial: serial(&value["motherboard"]["serial"]),
        firmware: text(&value["firmware"]["version"]),
    }
}

fn processor(socket: &Value) -> Processor {
    let cores = socket["cores"].as_array().map_or(&[][..], Vec::as_slice);
    let threads = cores.iter().filter_map(|core| core["threads"].as_array()).map(Vec::len).sum::<usize>();
    Processor { model: text(&socket["name"]), cores: cores.len() as u64, threads: threads as u64 }
}

/// The kernel keeps some of the memory for itself before it counts: rounded up to a sixteenth of the power of two below, at
/// least a GiB, which is finer than modules are combined.
fn installed_gib(bytes: u64) -> u64 {
    let gib = bytes.div_ceil(1 << 30);
    let step = gib.checked_ilog2().map_or(1, |log| (1_u64 << log) / 16).max(1);
    gib.div_ceil(step).saturating_mul(step)
}

fn disk(value: &Value) -> Option<Disk> {
    let (id, kind, path) = (text(&value["id"]), text(&value["type"]), text(&value["device_path"]));
    let bytes = number(&value["size"]);
    let removable = value["removable"].as_bool().unwrap_or_default() || matches!(kind.as_str(), "usb" | "cdrom");
    let remote = ["-iscsi-", "-fc-", "-fabrics-"].iter().any(|part| path.contains(part));
    if removable || remote || is_virtual(&id) || bytes == 0 {
        return None;
    }
    let turns = number(&value["rpm"]) > 0;
    let class = match kind.as_str() {
        "nvme" => DiskClass::Nvme,
        "sata" | "scsi" | "sas" | "ata" if turns => DiskClass::Hdd,
        "sata" | "scsi" | "sas" | "ata" => DiskClass::Ssd,
        _ => DiskClass::Other,
    };
    let serial = serial(&value["serial"]).or_else(|| serial(&value["wwn"]));
    Some(Disk { class, gb: bytes.saturating_add(500_000_000) / 1_000_000_000, model: text(&value["model"]), serial })
}

/// Block devices of the kernel's own making, and the hidden paths of a multipath NVMe.
fn is_virtual(id: &str) -> bool {
    const OWN: [&str; 9] = ["loop", "zram", "ram", "dm-", "md", "zd", "nbd", "rbd", "sr"];
    let path = id.strip_prefix("nvme").is_some_and(|rest| {
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        rest.starts_with('c')
    });
    path || OWN.iter().any(|own| id.starts_with(own))
}

/// A card on a USB port is the BMC's way to the host, or somebody's adapter: it comes and goes.
fn card(value: &Value) -> Option<Card> {
    if !text(&value["usb_address"]).is_empty() {
        return None;
    }
    let mut ports: Vec<Port> = value["ports"].as_array().into_iter().flatten().take(PORTS).map(port).collect();
    ports.sort();
    Some(Card { id: bus_id(value), name: name(value), ports })
}

fn port(value: &Value) -> Port {
    let modes = value["supported_modes"].as_array().into_iter().flatten().take(ITEMS);
    let speeds = modes.filter_map(|mode| {
        let digits: String = mode.as_str()?.chars().take_while(char::is_ascii_digit).take(9).collect();
        digits.parse::<u64>().ok()
    });
    Port { mac: text(&value["address"]).to_ascii_lowercase(), speed: speeds.max().unwrap_or_default() }
}

fn gpu(value: &Value) -> Option<Gpu> {
    let vendor = text(&value["vendor_id"]).to_ascii_lowercase();
    let id = bus_id(value);
    (!CONSOLE_GRAPHICS.contains(&vendor.as_str()) && id != ":").then(|| Gpu { id, name: name(value) })
}

/// `vendor:product`: as numbers where the bus has them, because names change with the list that they are looked up in.
fn bus_id(value: &Value) -> String {
    let (vendor, product) = (text(&value["vendor_id"]), text(&value["product_id"]));
    if vendor.is_empty() || product.is_empty() {
        format!("{}:{}", text(&value["vendor"]), text(&value["product"]))
    } else {
        format!("{vendor}:{product}").to_ascii_lowercase()
    }
}

fn name(value: &Value) -> String {
    text(&value["product"])
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten().take(ITEMS)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// A text without what cannot be printed, with single spaces.
fn text(value: &Value) -> String {
    let given = value.as_str().unwrap_or_default();
    let mut kept = String::new();
    for word in given.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !kept.is_empty() {
            kept.push(' ');
        }
        kept.extend(word.chars().take(TEXT));
        if kept.len() >= TEXT {
            break;
        }
    }
    if let Some((end, _)) = kept.char_indices().nth(TEXT) {
        kept.truncate(end);
    }
    kept
}

fn serial(value: &Value) -> Option<String> {
    let text = text(value);
    (!is_placeholder(&text)).then_some(text)
}

/// Whether a serial number tells nothing: empty, a vendor's placeholder, or one character repeated.
pub fn is_placeholder(serial: &str) -> bool {
    let mut characters = serial.chars().filter(|c| !matches!(c, ' ' | '-' | '.'));
    let first = characters.next();
    let same = first.is_none_or(|first| characters.all(|c| c == first));
    same || PLACEHOLDERS.contains(&serial.to_lowercase().as_str())
}

/// A UUID in lower case; none for one that several machines have.
fn uuid(text: &str) -> Option<String> {
    let uuid = uuid::Uuid::try_parse(text).ok()?.hyphenated().to_string();
    (!is_placeholder(&uuid) && !SHARED_UUIDS.contains(&uuid.as_str())).then_some(uuid)
}
