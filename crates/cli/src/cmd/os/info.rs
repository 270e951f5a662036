//! Documents of IncusOS for people (cli.md 8).

use crate::cmd::items;
use crate::table::framed;
use crate::text::field;
use serde_json::Value;

/// A size in binary units with two decimals, as in `1.50GiB`.
fn size(bytes: &Value) -> String {
    const UNITS: [&str; 6] = ["kiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let Some(bytes) = bytes.as_f64() else { return String::new() };
    if bytes < 1024.0 {
        return format!("{bytes}B");
    }
    let (mut value, mut at) = (bytes / 1024.0, 0);
    while value >= 1024.0 && at + 1 < UNITS.len() {
        (value, at) = (value / 1024.0, at + 1);
    }
    format!("{value:.2}{}", UNITS[at])
}

fn lines(list: &Value) -> String {
    items(list).iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

fn yes(flag: &Value) -> String {
    if flag == true { "yes".into() } else { String::new() }
}

/// The interfaces of `system/network`.
pub(super) fn network(document: &Value) -> String {
    let interfaces = document["state"]["interfaces"].as_object();
    let mut rows: Vec<Vec<String>> = interfaces
        .into_iter()
        .flatten()
        .map(|(name, o)| {
            let mut row = vec![name.clone()];
            row.extend(["type", "state", "hwaddr", "mtu", "speed"].map(|key| field(o, key)));
            row.extend(["addresses", "roles"].map(|key| lines(&o[key])));
            row
        })
        .collect();
    rows.sort_by(|a, b| crate::natural::compare(&a[0], &b[0]));
    framed(Some(&["NAME", "TYPE", "STATE", "HWADDR", "MTU", "SPEED", "ADDRESSES", "ROLES"]), &rows)
}

/// Drives and pools of `system/storage`.
pub(super) fn storage(document: &Value) -> String {
    let state = &document["state"];
    let drive = |o: &Value| {
        let mut row = ["id", "model_name", "serial_number", "bus"].map(|key| field(o, key)).to_vec();
        row.extend([size(&o["capacity_in_bytes"]), yes(&o["boot"]), yes(&o["encrypted"])]);
        row.push(field(o, "member_pool"));
        row
    };
    let drives: Vec<_> = items(&state["drives"]).iter().map(drive).collect();
    let titles = ["ID", "MODEL", "SERIAL", "BUS", "CAPACITY", "BOOT", "ENCRYPTED", "MEMBER POOL"];
    let mut out = format!("Drives:\n{}", framed(Some(&titles), &drives));
    let pool = |o: &Value| {
        let mut row = ["name", "type", "state", "encryption_key_status"].map(|key| field(o, key)).to_vec();
        let sizes = ["raw_pool_size_in_bytes", "usable_pool_size_in_bytes", "pool_allocated_space_in_bytes"];
        row.extend(sizes.map(|key| size(&o[key])));
        row.push(lines(&o["devices"]));
        row
    };
    let pools: Vec<_> = items(&state["pools"]).iter().map(pool).collect();
    if !pools.is_empty() {
        let titles = ["NAME", "TYPE", "STATE", "ENCRYPTION KEY", "RAW SIZE", "USABLE SIZE", "ALLOCATED", "DEVICES"];
        out += &format!("\nPools:\n{}", framed(Some(&titles), &pools));
    }
    out
}

/// Compressed swap of `system/kernel`.
pub(super) fn kernel(document: &Value) -> String {
    let swap = &document["state"]["memory"]["zram_swap"];
    if !swap.is_object() {
        return "No compressed swap is set up\n".into();
    }
    format!(
        "Compressed swap:\n  Size: {}\n  Uncompressed data: {}\n  Compressed data: {}\n  Compression ratio: {:.2}\n  Memory used: {}\n",
        size(&swap["disk_size"]),
        // The wire spells it so; the right spelling is taken, too, should it come.
        size(swap.get("incompressed_size").unwrap_or(&swap["uncompressed_size"])),
        size(&swap["compressed_size"]),
        swap["compression_ratio"].as_f64().unwrap_or_default(),
        size(&swap["total_memory_use"]),
    )
}

/// `system/resources`.
pub(super) fn resources(document: &Value) -> String {
    let mut out = String::new();
    let mut section = |title: &str, rows: Vec<String>| {
        let rows: Vec<String> = rows.into_iter().filter(|row| !row.trim().is_empty()).collect();
        if !rows.is_empty() {
            out += &format!("{title}:\n");
            out.extend(rows.iter().map(|row| format!("  {row}\n")));
        }
    };
    let said = |o: &Value, pairs: &[(&str, &str)]| -> Vec<String> {
        let row = |(label, key): &(&str, &str)| match field(o, key) {
            text if text.is_empty() => String::new(),
            text => format!("{label}: {text}"),
        };
        pairs.iter().map(row).collect()
    };
    let join = |o: &Value, keys: &[&str]| {
        let words: Vec<String> = keys.iter().map(|key| field(o, key)).filter(|text| !text.is_empty()).collect();
        words.join(" ")
    };
    let system = [
        ("UUID", "uuid"),
        ("Vendor", "vendor"),
        ("Product", "product"),
        ("Serial", "serial"),
        ("Firmware", "firmware.version"),
    ];
    section("System", said(&document["system"], &system));
    let cpu = &document["cpu"];
    let sockets = items(&cpu["sockets"]).iter().map(|socket| {
        let cores = items(&socket["cores"]);
        let threads: usize = cores.iter().map(|core| items(&core["threads"]).len()).sum();
        format!("{}: {} cores, {threads} threads", join(socket, &["vendor", "name"]), cores.len())
    });
    section("CPU", said(cpu, &[("Architecture", "architecture")]).into_iter().chain(sockets).collect());
    let memory = &document["memory"];
    section("Memory", vec![format!("Used: {}", size(&memory["used"])), format!("Total: {}", size(&memory["total"]))]);
    let cards = |class: &Value| -> Vec<String> {
        items(class).iter().map(|card| join(card, &["vendor", "product", "driver", "pci_address"])).collect()
    };
    section("GPUs", cards(&document["gpu"]["cards"]));
    let mut nics = Vec::new();
    for card in items(&document["network"]["cards"]) {
        nics.push(join(card, &["vendor", "product", "driver", "pci_address"]));
        nics.extend(items(&card["ports"]).iter().map(|port| format!("- {}", join(port, &["id", "address"]))));
    }
    section("NICs", nics);
    let disk = |o: &Value| format!("{} {}", join(o, &["id", "model", "serial", "type"]), size(&o["size"]));
    section("Disks", items(&document["storage"]["disks"]).iter().map(disk).collect());
    section("USB devices", cards(&document["usb"]["devices"]));
    section("PCI devices", cards(&document["pci"]["devices"]));
    out
}

/// A system at a glance: host, network, applications, what it warns of, the end of its log.
pub(super) fn overview(host: &Value, net: &Value, applications: &Value, log: &str) -> String {
    let environment = &host["environment"];
    let mut out = String::from("Host:\n");
    for (label, key) in [
        ("Name", "hostname"),
        ("Machine ID", "machine_id"),
        ("System", "os_name"),
        ("Version", "os_version"),
        ("Next version", "os_version_next"),
        ("Ready", "system_is_ready"),
        ("Uptime", "uptime"),
    ] {
        let text = field(environment, key);
        if !text.is_empty() {
            out += &format!("  {label}: {text}\n");
        }
    }
    out += &format!("\nNetwork:\n{}\nApplications:\n", network(net));
    for url in items(applications).iter().filter_map(Value::as_str) {
        out += &format!("  - {}\n", url.rsplit('/').next().unwrap_or(url));
    }
    let warnings = lines(&host["warnings"]);
    if !warnings.is_empty() {
        out += &format!("\nWarnings:\n{}\n", crate::text::indent("  ", &warnings));
    }
    if !log.is_empty() {
        out += &format!("\nLog:\n{log}");
    }
    out
}

/// The entries of `debug/log`, a line each; what is no entry is left out.
pub(super) fn journal(entries: &Value, zone: &jiff::tz::TimeZone) -> String {
    let line = |entry: &Value| {
        let micros = entry["__REALTIME_TIMESTAMP"].as_str()?.parse::<i64>().ok()?;
        let at = jiff::Timestamp::from_microsecond(micros).ok()?.to_zoned_datetime(zone.clone());
        let message = match &entry["MESSAGE"] {
            Value::String(text) => text.clone(),
            // Text that is not UTF-8 comes as its bytes.
            Value::Array(bytes) => {
                let bytes: Vec<u8> = bytes.iter().filter_map(|b| u8::try_from(b.as_u64()?).ok()).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            _ => return None,
        };
        let by = entry["SYSLOG_IDENTIFIER"].as_str()?;
        Some(format!("[{}] {by}: {message}\n", at.strftime("%Y/%m/%d %H:%M:%S %Z")))
    };
    items(entries).iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sizes() {
        let text = |bytes: u64| size(&json!(bytes));
        assert_eq!((text(512), text(1536), text(3 << 40)), ("512B".into(), "1.50kiB".into(), "3.00TiB".into()));
        assert_eq!(size(&Value::Null), "");
    }

    #[test]
    fn interfaces_drives_and_pools() {
        let net = json!({"state": {"interfaces": {"eth0": {"type": "interface", "state": "routable", "hwaddr": "10:66:6a:00:00:01",
            "mtu": 1500, "speed": "1000", "addresses": ["10.0.0.1", "fe80::1"], "roles": ["management"]}}}});
        let text = network(&net);
        assert!(text.contains("| eth0 | interface | routable | 10:66:6a:00:00:01 | 1500 | 1000  | 10.0.0.1"), "{text}");
        assert!(text.contains("fe80::1"));
        let disks = json!({"state": {"drives": [{"id": "/dev/sda", "boot": true, "capacity_in_bytes": 1u64 << 30}],
            "pools": [{"name": "local", "type": "zfs-raid0", "devices": ["/dev/sda"]}]}});
        let text = storage(&disks);
        assert!(text.contains("/dev/sda") && text.contains("1.00GiB") && text.contains("zfs-raid0"), "{text}");
        assert!(!storage(&json!({})).contains("Pools"));
    }

    #[test]
    fn the_journal_and_what_it_cannot_say() {
        let entry = |message: Value| json!({"__REALTIME_TIMESTAMP": "1787255884000000", "SYSLOG_IDENTIFIER": "systemd", "MESSAGE": message});
        let entries = json!([entry(json!("up")), entry(json!([104, 105])), entry(Value::Null), {"MESSAGE": "no time"}]);
        assert_eq!(
            journal(&entries, &jiff::tz::TimeZone::UTC),
            "[2026/08/20 19:58:04 UTC] systemd: up\n[2026/08/20 19:58:04 UTC] systemd: hi\n"
        );
    }

    #[test]
    fn hardware_and_kernel() {
        let text = resources(
            &json!({"system": {"vendor": "Acme"}, "cpu": {"architecture": "x86_64", "sockets": [{"name": "Fast", "cores": [{"threads": [{}, {}]}]}]},
            "memory": {"used": 1024, "total": 2048}, "storage": {"disks": [{"id": "sda", "size": 1024}]}}),
        );
        assert_eq!(
            text,
            "System:\n  Vendor: Acme\nCPU:\n  Architecture: x86_64\n  Fast: 1 cores, 2 threads\nMemory:\n  Used: 1.00kiB\n  Total: 2.00kiB\nDisks:\n  sda 1.00kiB\n"
        );
        assert!(kernel(&json!({})).contains("No compressed swap"));
        assert!(kernel(&json!({"state": {"memory": {"zram_swap": {"disk_size": 1024}}}})).contains("Size: 1.00kiB"));
    }
}
