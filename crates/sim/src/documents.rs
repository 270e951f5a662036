//! What a machine says about itself: the shapes and the sizes of a real one. Source: servers.md 7.1-7.10.

use serde_json::{Value, json};

use crate::spec::Spec;

const CPU_FLAGS: &str = "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse \
                         sse2 ht syscall nx pdpe1gb rdtscp lm vmx aes avx2 avx512f sha_ni";

fn core(number: usize) -> Value {
    let thread = |thread: usize| json!({"id": number * 2 + thread, "numa_node": 0, "thread": thread, "online": true, "isolated": false});
    json!({"core": number, "die": 0, "frequency": 2000 + number * 7, "threads": [thread(0), thread(1)],
           "flags": CPU_FLAGS.split_whitespace().collect::<Vec<_>>()})
}

fn card(spec: &Spec, index: u8) -> Value {
    json!({
        "driver": "ice", "driver_version": "6.18.2", "numa_node": 0, "pci_address": format!("0000:{:02x}:00.0", 0x31 + index),
        "vendor": "Intel Corporation", "vendor_id": "8086", "product": "Ethernet Controller E810-XXV for SFP",
        "product_id": "159b", "firmware_version": "4.40 0x8001c967 1.3534.0", "sriov": null,
        "ports": [{"id": format!("eth{index}"), "address": spec.card_mac(index), "port": 0, "protocol": "ethernet",
                   "supported_modes": ["10000baseT/Full", "25000baseCR/Full"], "supported_ports": ["fibre"],
                   "port_type": "fibre", "transceiver_type": "internal", "auto_negotiation": true,
                   "link_detected": index < 2, "link_speed": 25000, "link_duplex": "full"}],
    })
}

fn disk_id(spec: &Spec, index: usize) -> String {
    format!("nvme-eui.{:016x}{index:02x}", spec.system_uuid.as_u64_pair().1)
}

fn disk(spec: &Spec, index: usize) -> Value {
    let partition = |n: usize, size: u64| {
        json!({"id": format!("nvme{index}n1p{n}"), "device": format!("259:{}", index * 16 + n), "read_only": false,
               "mounted": n == 2, "size": size, "partition": n})
    };
    let partitions = match index {
        0 => vec![partition(1, 2_147_483_648), partition(2, 107_374_182_400), partition(11, 1_810_000_000_000)],
        _ => vec![],
    };
    json!({
        "id": format!("nvme{index}n1"), "device": format!("259:{}", index * 16), "model": "SIMDISK 7450 MTFDKCC1T9TFR",
        "type": "nvme", "read_only": false, "mounted": index == 0, "size": 1_920_383_410_176_u64, "removable": false,
        "wwn": format!("eui.{:016x}", spec.system_uuid.as_u64_pair().0 ^ index as u64), "numa_node": 0,
        "device_path": format!("pci-0000:{:02x}:00.0-nvme-1", 0x81 + index), "block_size": 4096,
        "firmware_version": "E2MU200", "rpm": 0, "serial": spec.disk_serial(index),
        "device_id": disk_id(spec, index), "partitions": partitions, "used_by": "",
    })
}

/// `GET /os/1.0/system/resources`.
pub fn resources(spec: &Spec) -> Value {
    let pci: Vec<Value> = (0..12)
        .map(|n| {
            json!({"driver": if n % 2 == 0 { "pcieport" } else { "" }, "driver_version": "6.18.2", "numa_node": 0,
                   "pci_address": format!("0000:00:{n:02x}.0"), "vendor": "Intel Corporation", "vendor_id": "8086",
                   "product": "Ice Lake PCI bridge", "product_id": format!("09a{n:x}"), "iommu_group": n, "vpd": {}})
        })
        .collect();
    let (memory, disks) = (spec.parts.memory_gib << 30, spec.parts.disks.len());
    json!({
        "cpu": {"architecture": "x86_64", "total": 16, "sockets": [{
            "name": "Simulated Xeon 4314 CPU @ 2.40GHz", "vendor": "GenuineIntel", "socket": 0, "frequency": 2400,
            "frequency_minimum": 800, "frequency_turbo": 3400,
            "address_sizes": {"physical_bits": 52, "virtual_bits": 57},
            "cache": [{"level": 1, "type": "Data", "size": 49152}, {"level": 2, "type": "Unified", "size": 1_310_720},
                      {"level": 3, "type": "Unified", "size": 25_165_824}],
            "cores": (0..8).map(core).collect::<Vec<_>>(),
        }]},
        "memory": {"nodes": [{"numa_node": 0, "hugepages_used": 0, "hugepages_total": 0, "used": 9_663_676_416_u64,
                              "total": memory}],
                   "hugepages_total": 0, "hugepages_used": 0, "hugepages_size": 2_097_152,
                   "used": 9_663_676_416_u64, "total": memory},
        "gpu": {"cards": [{"driver": "ast", "driver_version": "6.18.2", "numa_node": 0, "pci_address": "0000:03:00.0",
                           "vendor": "ASPEED Technology, Inc.", "vendor_id": "1a03", "product_id": "2000",
                           "product": "ASPEED Graphics Family"}], "total": 1},
        "network": {"cards": (0..4).map(|n| card(spec, n)).collect::<Vec<_>>(), "total": 4},
        "storage": {"disks": (0..disks).map(|n| disk(spec, n)).collect::<Vec<_>>(), "total": disks},
        "usb": {"devices": [], "total": 0},
        "pci": {"devices": pci, "total": 12},
        "system": {"uuid": spec.firmware_uuid(), "vendor": "Muster", "product": "Simulated Server", "family": "Fleet",
                   "version": "1", "sku": "SIM-1U", "serial": spec.serial(), "type": "physical",
                   "firmware": {"vendor": "Muster", "date": "01/15/2026", "version": "1.4.2"},
                   "chassis": {"vendor": "Muster", "type": "Rack Mount Chassis", "serial": spec.serial(), "version": "1"},
                   "motherboard": {"vendor": "Muster", "product": "Board 1", "serial": spec.serial(), "version": "A02"}},
        "load": {"Average1Min": 0.5, "Average5Min": 0.25, "Average10Min": 0.125, "Processes": 412},
        "serial": {"devices": [], "total": 0},
    })
}

/// `config` of `GET /os/1.0/system/network` as installed.
pub fn network_config(spec: &Spec, name: &str) -> Value {
    json!({"dns": {"domain": "", "hostname": name}, "interfaces": [
        {"name": "eth0", "hwaddr": spec.mac(0), "addresses": ["dhcp4"], "roles": ["management", "cluster"]},
        {"name": "eth1", "hwaddr": spec.mac(1), "addresses": [], "roles": ["instances"]},
    ]})
}

/// `state` of `GET /os/1.0/system/network`; the counters grow with the seconds since boot.
pub fn network_state(spec: &Spec, uptime: u64) -> Value {
    let port = |index: u8, addresses: Vec<String>, roles: &[&str]| {
        json!({"addresses": addresses, "hwaddr": spec.mac(index), "mtu": 1500, "speed": "25000", "roles": roles,
               "state": "routable", "type": "interface",
               "lldp": [{"chassis_id": "02:00:5e:00:53:01", "name": "tor-1", "port_id": format!("Ethernet{index}"),
                         "port": format!("swp{}", spec.number)}],
               "routes": [{"to": "default", "via": "127.64.0.1"}],
               "stats": {"rx_bytes": 4096 * uptime, "rx_errors": 0, "tx_bytes": 1024 * uptime, "tx_errors": 0}})
    };
    let management = vec![spec.address.ip().to_string()];
    json!({"configuration_in_process": false, "interfaces": {
        "eth0": port(0, management, &["management", "cluster"]), "eth1": port(1, vec![], &["instances"])}})
}

/// `GET /os/1.0/system/security`.
pub fn security(spec: &Spec) -> Value {
    let [a, b, c] =
        [1u64, 2, 3].map(|n| spec.system_uuid.as_u64_pair().0.rotate_left(u32::try_from(n * 7).unwrap_or(7)));
    json!({
        "config": {"encryption_recovery_keys": [format!("{a:016x}-{b:016x}-{c:016x}")]},
        "state": {"encrypted_volumes": [{"volume": "root", "state": "unlocked (TPM)"}, {"volume": "swap", "state": "unlocked (TPM)"}],
                  "encryption_recovery_keys_retrieved": true, "drive_recovery_keys": {},
                  "pool_recovery_keys": {"local": format!("{c:016x}")},
                  "secure_boot_certificates": [{"type": "db", "fingerprint": format!("{a:016x}{b:016x}{a:016x}{c:016x}"),
                      "subject": "CN=Simulated Secure Boot 2026", "issuer": "CN=Simulated Secure Boot CA"}],
                  "secure_boot_enabled": true, "system_state_is_trusted": true, "system_state_status": "trusted",
                  "tpm_status": "ok"},
    })
}

/// `config` of `GET /os/1.0/system/storage` as installed.
pub fn storage_config() -> Value {
    json!({"scrub_schedule": "0 4 * * 0"})
}

/// `state` of `GET /os/1.0/system/storage`.
pub fn storage_state(spec: &Spec) -> Value {
    let drives: Vec<Value> = (0..spec.parts.disks.len())
        .map(|n| {
            let mut drive = json!({
                "id": format!("/dev/disk/by-id/{}", disk_id(spec, n)), "model_family": "SIMDISK 7450",
                "model_name": "SIMDISK 7450 MTFDKCC1T9TFR", "serial_number": spec.disk_serial(n),
                "bus": "nvme", "capacity_in_bytes": 1_920_383_410_176_u64, "boot": n == 0, "multipath": false,
                "removable": false, "remote": false,
                "smart": {"enabled": true, "passed": true, "power_on_hours": 4711 + n, "available_spare": 100},
            });
            if n == 0 {
                drive["member_pool"] = json!("local");
            }
            drive
        })
        .collect();
    json!({"drives": drives, "pools": [{
        "name": "local", "type": "zfs-raid0", "devices": [format!("/dev/disk/by-id/{}-part11", disk_id(spec, 0))],
        "managed": true, "state": "ONLINE", "encryption_key_status": "available",
        "raw_pool_size_in_bytes": 1_810_000_000_000_u64, "usable_pool_size_in_bytes": 1_753_000_000_000_u64,
        "pool_allocated_space_in_bytes": 4_313_088,
        "volumes": [{"name": "incus", "usage_in_bytes": 2_768_896, "quota_in_bytes": 0, "use": "incus"}],
    }]})
}

/// `GET /1.0` of the Incus on the machine, to a trusted or an untrusted peer.
pub fn incus(name: &str, trusted: bool) -> Value {
    let mut document = json!({
        "api_extensions": ["clustering", "event_lifecycle"], "api_status": "stable", "api_version": "1.0",
        "auth": if trusted { "trusted" } else { "untrusted" }, "public": false, "auth_methods": ["tls"], "config": {},
    });
    if trusted {
        document["environment"] =
            json!({"server": "incus", "server_name": name, "server_clustered": false, "os_name": "IncusOS"});
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_says_as_much_about_itself_as_a_real_one() {
        let spec = Spec::new(1, 7, "127.64.0.7:8443".parse().unwrap(), "202511010000", "stable", 0);
        let sizes = [resources(&spec), network_state(&spec, 60), security(&spec), storage_state(&spec)]
            .map(|document| document.to_string().len());
        let all: usize = sizes.iter().sum();
        assert!((12_000..18_000).contains(&all), "{sizes:?}");
    }

    #[test]
    fn its_management_address_is_where_it_listens() {
        let spec = Spec::new(1, 7, "127.64.0.7:8443".parse().unwrap(), "202511010000", "stable", 0);
        let document = json!({"config": network_config(&spec, "a"), "state": network_state(&spec, 1)});
        let raw = serde_json::value::to_raw_value(&document).unwrap();
        assert_eq!(muster_clients::incusos::management_address(&raw), Some("127.64.0.7".parse().unwrap()));
    }
}
