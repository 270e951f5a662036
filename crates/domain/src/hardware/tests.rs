//! Inventories, types and drift: by example, and as properties over made-up machines.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::inventory::{Card, Disk, DiskClass, Gpu, Port, Processor, System};
use super::{Change, Fingerprint, Inventory, Severity, Specification, difference, drift};

/// A document as Incus gives it of a server with two sockets, four disks and two cards.
fn document() -> Value {
    let cores =
        |n: usize| (0..n).map(|i| json!({"core": i, "threads": [{"id": i}, {"id": i + n}]})).collect::<Vec<_>>();
    let socket = |n: u64| json!({"name": "Xeon 6326", "socket": n, "cores": cores(16), "frequency": 2900});
    let disk = |id: &str, serial: &str, more: Value| {
        let mut disk = json!({"id": id, "type": "nvme", "model": "7450 PRO", "size": 3_840_755_982_336_u64, "rpm": 0,
                              "removable": false, "serial": serial, "device_path": "pci-0000:81:00.0-nvme-1"});
        disk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        disk
    };
    let port = |mac: &str| {
        json!({"id": "eth0", "address": mac, "supported_modes": ["10000baseT/Full", "25000baseCR/Full"],
                                  "link_detected": true, "link_speed": 10000})
    };
    json!({
        "cpu": {"architecture": "x86_64", "total": 64, "sockets": [socket(0), socket(1)]},
        "memory": {"total": 269_750_366_208_u64, "used": 1},
        "gpu": {"cards": [
            {"vendor_id": "1a03", "product_id": "2000", "product": "ASPEED Graphics Family"},
            {"vendor_id": "10de", "product_id": "20f1", "product": "GA100 [A100 PCIe 40GB]"},
        ]},
        "network": {"cards": [
            {"vendor_id": "8086", "product_id": "159b", "product": "E810-XXV", "ports": [port("B4:96:91:00:00:01"), port("b4:96:91:00:00:02")]},
            {"vendor_id": "046b", "product_id": "ffb0", "product": "Virtual Ethernet", "usb_address": "1:3", "ports": [port("9e:00:00:00:00:01")]},
        ]},
        "storage": {"disks": [
            disk("nvme1n1", "S2", json!({})),
            disk("nvme0n1", "S1", json!({})),
            disk("sda", "S3", json!({"type": "sata", "size": 480_103_981_056_u64, "model": "SSD"})),
            disk("sdb", "S4", json!({"type": "sata", "size": 8_001_563_222_016_u64, "rpm": 7200})),
            disk("sdc", "S5", json!({"type": "usb"})),
            disk("sdd", "S6", json!({"removable": true})),
            disk("sde", "S7", json!({"device_path": "ip-10.0.0.1:3260-iscsi-iqn.a-lun-0"})),
            disk("nvme0c0n1", "S1", json!({})),
            disk("loop0", "", json!({})),
            disk("sr0", "", json!({"type": "cdrom"})),
        ]},
        "system": {"uuid": "4C4C4544-0051-3610-8052-B7C04F4E3732", "vendor": "Dell Inc.", "product": "PowerEdge R650", "serial": "7Q6R7N2",
                   "chassis": {"vendor": "Dell Inc.", "serial": "7Q6R7N2"}, "motherboard": {"serial": "..CN747"},
                   "firmware": {"version": "1.10.2"}},
    })
}

fn read(change: impl Fn(&mut Value)) -> Inventory {
    let mut document = document();
    change(&mut document);
    Inventory::read(&document)
}

/// What becomes of the machine of [`document`] when it changes so.
fn changed(change: impl Fn(&mut Value)) -> (Option<Severity>, Vec<String>) {
    let changes = difference(&read(|_| {}), &read(change));
    (drift(&changes), changes.iter().map(ToString::to_string).collect())
}

#[test]
fn an_inventory_has_the_hardware_and_nothing_that_comes_and_goes() {
    let inventory = read(|_| {});
    assert_eq!(inventory.system.uuid.as_deref(), Some("4c4c4544-0051-3610-8052-b7c04f4e3732"));
    assert_eq!(inventory.system.identifying_serial(), Some(("7Q6R7N2", "Dell Inc.")));
    assert_eq!((inventory.processors.len(), inventory.cores(), inventory.processors[0].threads), (2, 32, 32));
    // The kernel kept 5 GiB of 256 for itself.
    assert_eq!(inventory.memory_gib, 256);
    let disks: Vec<_> = inventory.disks.iter().map(|d| (d.class, d.gb, d.serial.as_deref().unwrap())).collect();
    let nvme = |serial| (DiskClass::Nvme, 3841, serial);
    assert_eq!(disks, [nvme("S1"), nvme("S2"), (DiskClass::Ssd, 480, "S3"), (DiskClass::Hdd, 8002, "S4")]);
    assert_eq!(inventory.macs(), ["b4:96:91:00:00:01", "b4:96:91:00:00:02"]);
    assert_eq!((inventory.cards[0].id.as_str(), inventory.cards[0].ports[0].speed), ("8086:159b", 25000));
    assert_eq!(inventory.gpus.iter().map(|g| g.id.as_str()).collect::<Vec<_>>(), ["10de:20f1"]);
}

#[test]
fn a_label_says_what_a_machine_can_do() {
    let label = |inventory: &Inventory| Specification::of(inventory).label();
    assert_eq!(label(&read(|_| {})), "M.32C.256G.2xNVME-3.8T+1xSSD-480G+1xHDD-8T.1xA100");
    assert_eq!(label(&Inventory::default()), "unknown");
    let bare = read(|d| d.as_object_mut().unwrap().retain(|key, _| key == "memory"));
    assert_eq!(label(&bare), "M.0C.256G.diskless");
    let arm = read(|d| {
        d["cpu"]["architecture"] = json!("aarch64");
        d["gpu"] = Value::Null;
    });
    assert_eq!(label(&arm), "A.32C.256G.2xNVME-3.8T+1xSSD-480G+1xHDD-8T");
    let sizes =
        |gb: u64| Inventory { memory_gib: 1, disks: vec![Disk { gb, ..Disk::default() }; 4], ..Inventory::default() };
    for (gb, want) in [(480, "480G"), (1000, "1T"), (1920, "1.9T"), (3000, "3T"), (9999, "9.9T"), (18_000, "18T")] {
        assert_eq!(label(&sizes(gb)), format!("M.0C.1G.4xDISK-{want}"));
    }
    let many = (1..6).map(|gb| Disk { gb, ..Disk::default() }).collect();
    assert_eq!(label(&Inventory { disks: many, ..sizes(1) }), "M.0C.1G.1xDISK-1G+1xDISK-2G+1xDISK-3G+2");
}

#[test]
fn memory_is_what_modules_come_in_whatever_the_kernel_keeps() {
    let gib = |mib: u64| Inventory::read(&json!({"memory": {"total": mib << 20}})).memory_gib;
    for (installed, counted) in [
        (8, 7_681),
        (16, 15_900),
        (64, 63_900),
        (192, 191_800),
        (192, 190_000),
        (256, 257_000),
        (512, 515_000),
        (1536, 1_547_000),
    ] {
        assert_eq!(gib(counted), installed, "{counted} MiB");
        assert_eq!(gib(installed << 10), installed, "exactly {installed} GiB");
    }
    assert_eq!((gib(0), gib(200)), (0, 1));
    assert!(Inventory::read(&json!({"memory": {"total": u64::MAX}})).memory_gib > 0);
}

#[test]
fn what_vendors_leave_in_place_of_an_identity_is_none() {
    for serial in [
        "",
        " ",
        "To be filled by O.E.M.",
        "Default string",
        "0123456789",
        "000000",
        "None",
        "....",
        "xxxxxxxx",
        "N/A",
        "not specified",
    ] {
        let inventory = read(|d| {
            d["system"]["serial"] = json!(serial);
            d["system"]["chassis"] = json!({"serial": serial});
        });
        assert_eq!(inventory.system.identifying_serial(), None, "{serial:?}");
    }
    for uuid in [
        "",
        "x",
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
    ] {
        assert_eq!(read(|d| d["system"]["uuid"] = json!(uuid)).system.uuid, None, "{uuid:?}");
    }
    let chassis_only = read(|d| d["system"]["serial"] = json!("None"));
    assert_eq!(chassis_only.system.identifying_serial(), Some(("7Q6R7N2", "Dell Inc.")));
}

#[test]
fn nothing_of_what_changes_by_itself_is_drift() {
    let (severity, changes) = changed(|d| {
        d["memory"]["total"] = json!(269_740_000_000_u64);
        d["network"]["cards"][0]["product"] = json!("Ethernet Controller E810-XXV for SFP");
        d["network"]["cards"][0]["ports"][0]["link_detected"] = json!(false);
        d["network"]["cards"][0]["ports"][0]["id"] = json!("ens1f0");
        d["network"]["cards"][1]["ports"][0]["address"] = json!("9e:00:00:00:00:99");
        d["storage"]["disks"].as_array_mut().unwrap().reverse();
        d["storage"]["disks"].as_array_mut().unwrap().retain(|disk| disk["serial"] != "S5");
        d["cpu"]["sockets"][0]["frequency"] = json!(800);
    });
    assert_eq!((severity, changes), (None, vec![]));
    let (severity, changes) = changed(|d| d["system"]["firmware"]["version"] = json!("1.12.0"));
    assert_eq!(
        (severity, changes),
        (Some(Severity::Note), vec![r#"the firmware was "1.10.2" and is "1.12.0""#.to_owned()])
    );
}

#[test]
fn the_same_disk_with_another_serial_number_is_advice() {
    let (severity, changes) = changed(|d| {
        d["storage"]["disks"][0]["serial"] = json!("S9");
        d["storage"]["disks"][0]["model"] = json!("KIOXIA CD8");
    });
    let text = "the NVME disk \"7450 PRO\" of 3841 GB with serial number S2 is now the NVME disk \"KIOXIA CD8\" of 3841 GB with serial number S9";
    assert_eq!((severity, changes), (Some(Severity::Advice), vec![text.to_owned()]));
    // A serial number that is not told any more says nothing.
    assert_eq!(changed(|d| d["storage"]["disks"][0]["serial"] = Value::Null).0, None);
}

#[test]
fn another_capacity_or_card_has_to_be_registered_again() {
    let more_memory = changed(|d| d["memory"]["total"] = json!(512_u64 << 30));
    assert_eq!(more_memory, (Some(Severity::ReRegister), vec!["the memory was 256 GiB and is 512 GiB".into()]));
    let gone = changed(|d| drop(d["storage"]["disks"].as_array_mut().unwrap().remove(0)));
    assert_eq!(
        gone,
        (
            Some(Severity::ReRegister),
            vec!["the NVME disk \"7450 PRO\" of 3841 GB with serial number S2 is gone".into()]
        )
    );
    let larger = changed(|d| d["storage"]["disks"][0]["size"] = json!(7_681_501_126_656_u64));
    assert_eq!((larger.0, larger.1.len()), (Some(Severity::ReRegister), 2), "{:?}", larger.1);
    let card = changed(|d| {
        d["network"]["cards"][0]["ports"][0]["address"] = json!("b4:96:91:00:00:11");
        d["network"]["cards"][0]["ports"][1]["address"] = json!("b4:96:91:00:00:12");
    });
    let want = [
        "the network card E810-XXV with b4:96:91:00:00:01, b4:96:91:00:00:02 is gone",
        "the network card E810-XXV with b4:96:91:00:00:11, b4:96:91:00:00:12 is new",
    ];
    assert_eq!(card, (Some(Severity::ReRegister), want.map(str::to_owned).into()));
    assert_eq!(changed(|d| d["gpu"]["cards"] = json!([])).0, Some(Severity::ReRegister));
    assert_eq!(changed(|d| d["cpu"]["sockets"][0]["name"] = json!("Xeon 6338")).0, Some(Severity::ReRegister));
    assert_eq!(changed(|d| d["system"]["motherboard"]["serial"] = json!("..CN748")).0, Some(Severity::ReRegister));
}

#[test]
fn ports_of_a_bond_that_show_one_address_are_no_other_cards() {
    let one_port =
        |mac: &str| json!({"vendor_id": "8086", "product_id": "1572", "product": "X710", "ports": [{"address": mac}]});
    let own = read(|d| d["network"]["cards"] = json!([one_port("aa:00:00:00:00:01"), one_port("aa:00:00:00:00:02")]));
    let bonded =
        read(|d| d["network"]["cards"] = json!([one_port("aa:00:00:00:00:01"), one_port("aa:00:00:00:00:01")]));
    assert_eq!((difference(&own, &bonded), difference(&bonded, &own)), (vec![], vec![]));
    let other = read(|d| d["network"]["cards"] = json!([one_port("aa:00:00:00:00:01"), one_port("aa:00:00:00:00:09")]));
    assert_eq!(drift(&difference(&own, &other)), Some(Severity::ReRegister));
}

#[test]
fn another_identity_is_another_machine() {
    let (severity, changes) = changed(|d| {
        d["system"]["uuid"] = json!("4c4c4544-0051-3610-8052-b7c04f4e0000");
        d["system"]["serial"] = json!("8Q6R7N2");
    });
    let want = [
        "the system UUID was 4c4c4544-0051-3610-8052-b7c04f4e3732 and is 4c4c4544-0051-3610-8052-b7c04f4e0000",
        "the serial number was 7Q6R7N2 and is 8Q6R7N2",
    ];
    assert_eq!((severity, changes), (Some(Severity::Blocking), want.map(str::to_owned).into()));
    assert_eq!(changed(|d| d["system"]["chassis"]["serial"] = json!("8Q6R7N2")).0, Some(Severity::Blocking));
}

#[test]
fn a_machine_that_says_nothing_is_one_of_which_nothing_is_known() {
    let null = json!({"cpu": {"architecture": "", "sockets": null, "total": 0}, "gpu": {"cards": null}, "memory": {"total": 0},
                      "network": {"cards": null}, "storage": {"disks": null}, "system": {"chassis": null, "uuid": ""}});
    for document in [null, json!(null), json!([]), json!("x"), json!({"cpu": 7, "storage": {"disks": {"a": 1}}})] {
        let inventory = Inventory::read(&document);
        assert_eq!(inventory, Inventory::default(), "{document}");
        assert!(inventory.says_nothing());
    }
    assert!(!read(|_| {}).says_nothing());
}

#[test]
fn lists_and_texts_have_a_length() {
    let long = "ä".repeat(5000);
    let disks =
        vec![json!({"id": "sda", "type": "sata", "size": 1_u64 << 40, "model": long, "serial": "a\u{0}b\n c"}); 5000];
    let modes: Vec<_> = (0..5000).map(|n| json!(format!("{n}000000000000000000000baseT"))).collect();
    let cards =
        vec![json!({"ports": vec![json!({"address": long, "supported_modes": modes}); 100], "product": long}); 3];
    let inventory = Inventory::read(&json!({"storage": {"disks": disks}, "network": {"cards": cards}}));
    assert_eq!((inventory.disks.len(), inventory.cards[0].ports.len()), (512, 64));
    assert_eq!(inventory.disks[0].serial.as_deref(), Some("a b c"));
    assert_eq!(inventory.disks[0].model.chars().count(), 128);
    assert!(serde_json::to_string(&inventory).unwrap().len() < 512 * 1024);
}

#[test]
fn what_is_stored_reads_back_and_older_rows_too() {
    let inventory = read(|_| {});
    let stored = serde_json::to_string(&inventory).unwrap();
    assert_eq!(serde_json::from_str::<Inventory>(&stored).unwrap(), inventory);
    assert_eq!(serde_json::from_str::<Inventory>("{}").unwrap(), Inventory::default());
    let change = Change::Memory { from: 1, to: 2 };
    assert_eq!(serde_json::to_value(&change).unwrap(), json!({"change": "memory", "from": 1, "to": 2}));
}

#[test]
fn a_fingerprint_has_its_version() {
    let fingerprint = Fingerprint::of(&Specification::of(&read(|_| {})));
    // Written down: stored ones must stay true.
    assert_eq!(fingerprint.as_str(), "v1.09f8c3bfe141902f47ccdd4231780c8daf2beede0941264bc78171c1c292cf3e");
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|f| json!(f)),
        ".{0,12}".prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "cpu",
        "sockets",
        "cores",
        "threads",
        "memory",
        "total",
        "storage",
        "disks",
        "size",
        "id",
        "serial",
        "network",
        "cards",
        "ports",
        "address",
        "supported_modes",
        "system",
        "chassis",
        "uuid",
        "gpu",
        "vendor_id",
        "product_id",
        "name",
    ]);
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..8)
                .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

fn inventories() -> impl Strategy<Value = Inventory> {
    let small = |n: u64| 0..n;
    let text = || prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
    let maybe = || prop::option::of(text());
    let class = prop::sample::select(vec![DiskClass::Nvme, DiskClass::Ssd, DiskClass::Hdd, DiskClass::Other]);
    let disk =
        (class, small(3), text(), maybe()).prop_map(|(class, gb, model, serial)| Disk { class, gb, model, serial });
    let port = (prop::sample::select(vec!["", "m1", "m2", "m3", "m4"]), small(2))
        .prop_map(|(mac, speed)| Port { mac: mac.into(), speed });
    let card =
        (text(), text(), prop::collection::vec(port, 0..3)).prop_map(|(id, name, ports)| Card { id, name, ports });
    let gpu = (text(), text()).prop_map(|(id, name)| Gpu { id, name });
    let processor =
        (text(), small(3), small(3)).prop_map(|(model, cores, threads)| Processor { model, cores, threads });
    let system = (maybe(), maybe(), maybe(), maybe(), text()).prop_map(
        |(uuid, serial, chassis_serial, board_serial, firmware)| System {
            uuid,
            serial,
            chassis_serial,
            board_serial,
            firmware,
            ..System::default()
        },
    );
    let lists = (
        prop::collection::vec(processor, 0..3),
        prop::collection::vec(disk, 0..5),
        prop::collection::vec(card, 0..4),
        prop::collection::vec(gpu, 0..3),
    );
    (system, text(), small(3), lists).prop_map(
        |(system, architecture, memory_gib, (mut processors, mut disks, mut cards, mut gpus))| {
            processors.sort();
            disks.sort();
            cards.iter_mut().for_each(|card| card.ports.sort());
            cards.sort();
            gpus.sort();
            Inventory { system, architecture, processors, memory_gib, disks, cards, gpus }
        },
    )
}

fn fingerprint(inventory: &Inventory) -> Fingerprint {
    Fingerprint::of(&Specification::of(inventory))
}

proptest! {
    #[test]
    fn any_document_is_read(document in value()) {
        let inventory = Inventory::read(&document);
        let specification = Specification::of(&inventory);
        prop_assert!(specification.label().len() < 512);
        let stored = serde_json::to_string(&inventory).unwrap();
        prop_assert_eq!(serde_json::from_str::<Inventory>(&stored).unwrap(), inventory);
    }

    #[test]
    fn the_same_hardware_is_no_difference(inventory in inventories()) {
        prop_assert_eq!(difference(&inventory, &inventory), vec![]);
    }

    #[test]
    fn another_type_is_always_noticed(old in inventories(), new in inventories()) {
        let severity = drift(&difference(&old, &new));
        if fingerprint(&old) != fingerprint(&new) {
            prop_assert!(severity >= Some(Severity::ReRegister), "{:?}", severity);
        }
        if severity <= Some(Severity::Advice) {
            prop_assert_eq!(fingerprint(&old), fingerprint(&new));
        }
    }

    #[test]
    fn a_change_there_and_back_asks_for_the_same(old in inventories(), new in inventories()) {
        let counts = |changes: Vec<Change>| changes.len();
        prop_assert_eq!(counts(difference(&old, &new)) == 0, counts(difference(&new, &old)) == 0);
    }

    #[test]
    fn serial_numbers_and_addresses_are_no_part_of_a_type(inventory in inventories(), n in any::<u32>()) {
        let mut other = inventory.clone();
        other.system = System { uuid: Some(n.to_string()), vendor: n.to_string(), ..System::default() };
        other.disks.iter_mut().for_each(|disk| disk.serial = Some(n.to_string()));
        other.cards.iter_mut().flat_map(|card| &mut card.ports).for_each(|port| port.mac = n.to_string());
        prop_assert_eq!(fingerprint(&inventory), fingerprint(&other));
    }
}
