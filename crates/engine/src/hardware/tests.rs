//! What a poll makes of a machine's hardware: from the first look to drift, type, alerts and what was expected, on both databases.

use super::*;
use muster_domain::machine::{
    Lifecycle as State,
    axes::{AllocationKind, Claim},
};
use muster_store::{
    Secret,
    tables::{
        audit as audit_table,
        expected_machines::Expected,
        machine_alerts, server_types,
        servers::{self, Server},
    },
    testing::{TestStore, stores},
};
use serde_json::{Value, json};

const NOW: i64 = 1_800_000_000_000_000;

fn by() -> By<'static> {
    By::new("system", "test", NOW)
}

/// A machine with two disks and a card.
fn hardware(serial: &str) -> Value {
    let disk = |n: u64| json!({"id": format!("nvme{n}n1"), "type": "nvme", "size": 1_920_000_000_000_u64, "serial": format!("{serial}-{n}")});
    json!({
        "cpu": {"architecture": "x86_64", "sockets": [{"name": "Xeon", "cores": [{}, {}, {}, {}]}]},
        "memory": {"total": 64_u64 << 30},
        "storage": {"disks": [disk(0), disk(1)]},
        "network": {"cards": [{"vendor_id": "8086", "product_id": "159b", "ports": [{"address": format!("02:00:00:00:00:{serial}")}]}]},
        "system": {"uuid": uuid(serial), "vendor": "ACME", "serial": format!("SN{serial}")},
    })
}

fn uuid(serial: &str) -> String {
    format!("00000000-0000-4000-8000-0000000000{serial}")
}

struct Bed<'a> {
    store: &'a TestStore,
}

impl Bed<'_> {
    fn write<T: Send + 'static>(&self, f: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static) -> T {
        self.store.store.write_blocking(f).unwrap()
    }

    /// A machine registers, and its first poll brings this hardware.
    fn register(&self, id: &'static str, hardware: &Value) {
        self.begin(id, None);
        self.see(id, hardware);
        self.command(id, Command::FirstPoll { open: true, accepts_data: false });
    }

    fn begin(&self, id: &'static str, uuid: Option<String>) {
        self.write(move |tx| {
            let identity = machine::identity(uuid.as_deref(), Some(id));
            machine::register(tx, &identity, None, false, id, by())?;
            let row = Server {
                id: id.into(),
                machine_id: id.into(),
                name: id.into(),
                server_type: "incus".into(),
                channel: "stable".into(),
                bmc: "{}".into(),
                status: "pending".into(),
                status_detail: "registering".into(),
                version_data: "{}".into(),
                ..Server::default()
            };
            servers::insert(tx, &row)
        });
    }

    fn see(&self, id: &'static str, hardware: &Value) {
        let text = hardware.to_string();
        self.write(move |tx| seen(tx, id, id, &text, by()));
    }

    fn command(&self, id: &'static str, command: Command) {
        let first = matches!(command, Command::FirstPoll { .. });
        self.write(move |tx| {
            let server = servers::get_by_id(tx, id)?.unwrap();
            machine::command(tx, &server, &command, by())?.unwrap();
            if first {
                let observation = servers::Observation { status: "ready".into(), ..servers::Observation::default() };
                servers::update_observation(tx, id, server.observed, &observation)?;
            }
            Ok(())
        });
    }

    fn row(&self, id: &'static str) -> MachineRow {
        self.write(move |tx| machines::get(tx, id)).unwrap()
    }

    fn machine(&self, id: &'static str) -> muster_domain::machine::Machine {
        machine::load(&self.row(id), None).unwrap()
    }

    fn label(&self, id: &'static str) -> String {
        let kind = self.row(id).server_type;
        self.write(move |tx| server_types::get(tx, &kind)).unwrap().label
    }

    fn alerts(&self, id: &'static str) -> Vec<String> {
        self.write(move |tx| machine_alerts::list(tx, id)).into_iter().map(|a| a.name).collect()
    }

    fn warnings(&self) -> Vec<String> {
        let found = self.write(|tx| warnings::list(tx, &warnings::Filter::default(), 100));
        found.into_iter().flat_map(|w| w.messages).collect()
    }

    fn history(&self, id: &'static str, action: &'static str) -> Vec<String> {
        let filter = audit_table::Filter { object_kind: Some("machine".into()), object: Some(id.into()) };
        let found = self.write(move |tx| audit_table::list(tx, &filter, 0, 1000));
        found.into_iter().filter(|r| r.entry.action == action).map(|r| r.entry.reason.unwrap_or_default()).collect()
    }
}

fn on_both(test: impl Fn(Bed<'_>)) {
    stores(|store| test(Bed { store }));
}

#[test]
fn a_new_machine_gets_its_identity_and_its_type() {
    on_both(|bed| {
        bed.register("a", &hardware("01"));
        bed.register("b", &hardware("02"));
        let row = bed.row("a");
        assert_eq!(row.serial.as_deref().zip(row.chassis_vendor.as_deref()), Some(("SN01", "ACME")));
        assert_eq!(row.system_uuid, Some(uuid("01")));
        let machine = bed.machine("a");
        assert_eq!((machine.lifecycle, machine.type_match), (State::Available, TypeMatch::Matched));
        assert_eq!(bed.label("a"), "M.4C.64G.2xNVME-1.9T");
        assert_eq!(row.server_type, bed.row("b").server_type, "the same hardware is one type");
        assert_eq!(bed.history("a", "machine.hardware"), ["its hardware was recorded"]);
        // Another processor is another type, whose label is numbered.
        let mut other = hardware("03");
        other["cpu"]["sockets"][0]["name"] = json!("Epyc");
        bed.register("c", &other);
        assert_eq!(bed.label("c"), "M.4C.64G.2xNVME-1.9T-2");
        // The same again writes nothing.
        let before = bed.row("a").generation;
        bed.see("a", &hardware("01"));
        assert_eq!(bed.row("a").generation, before);
    });
}

#[test]
fn another_disk_is_advice_until_it_is_registered_or_put_back() {
    on_both(|bed| {
        bed.register("a", &hardware("01"));
        let mut swapped = hardware("01");
        swapped["storage"]["disks"][0]["serial"] = json!("new");
        bed.see("a", &swapped);
        let machine = bed.machine("a");
        assert!(!machine.flags.requires_re_register && !machine.alerts.prevent_allocation);
        assert_eq!(machine.type_match, TypeMatch::Matched);
        let warning = bed.warnings().pop().unwrap();
        assert!(
            warning.starts_with("a: the NVME disk") && warning.ends_with("registering it again is advised"),
            "{warning}"
        );
        bed.see("a", &hardware("01"));
        assert_eq!(bed.warnings(), [""; 0], "it was put back");
        bed.see("a", &swapped);
        assert_eq!(bed.warnings().len(), 1);
        bed.command("a", Command::SetStatus(State::Unavailable));
        bed.command(
            "a",
            Command::Register {
                method: muster_domain::machine::axes::Method::InBand,
                force: false,
                same_identity: true,
            },
        );
        bed.command("a", Command::Done { erased: false });
        assert_eq!(bed.warnings(), [""; 0], "it was registered with it");
        bed.see("a", &swapped);
        assert_eq!(bed.warnings(), [""; 0]);
        assert_eq!(bed.history("a", "machine.hardware").len(), 5);
    });
}

#[test]
fn another_capacity_keeps_a_machine_from_being_given_away_until_it_is_registered() {
    on_both(|bed| {
        bed.register("a", &hardware("01"));
        let first = bed.row("a").server_type;
        let mut more = hardware("01");
        more["memory"]["total"] = json!(128_u64 << 30);
        bed.see("a", &more);
        let machine = bed.machine("a");
        assert!(machine.flags.requires_re_register && machine.alerts.prevent_allocation && !machine.alerts.blocking);
        assert_eq!((machine.type_match, bed.alerts("a")), (TypeMatch::Mismatch, vec![TYPE.to_owned()]));
        assert!(bed.warnings()[0].contains("the memory was 64 GiB and is 128 GiB; it has to be registered again"));
        bed.command("a", Command::SetStatus(State::Unavailable));
        bed.command(
            "a",
            Command::Register {
                method: muster_domain::machine::axes::Method::InBand,
                force: false,
                same_identity: true,
            },
        );
        bed.see("a", &more);
        bed.command("a", Command::Done { erased: false });
        let machine = bed.machine("a");
        assert!(!machine.flags.requires_re_register && !machine.alerts.prevent_allocation);
        assert_eq!((machine.type_match, bed.alerts("a"), bed.warnings()), (TypeMatch::Matched, vec![], vec![]));
        assert_ne!(bed.row("a").server_type, first);
        assert_eq!(bed.label("a"), "M.4C.128G.2xNVME-1.9T");
        assert_eq!(bed.history("a", "machine.type").len(), 2);
    });
}

#[test]
fn a_used_machine_keeps_its_type_whatever_is_put_into_it() {
    on_both(|bed| {
        bed.register("a", &hardware("01"));
        let first = bed.row("a").server_type;
        let claim = Claim { owner: "anna".into(), kind: AllocationKind::Standalone, reference: "db".into() };
        bed.command("a", Command::Lock(claim));
        bed.command("a", Command::Commit);
        let mut more = hardware("01");
        more["storage"]["disks"].as_array_mut().unwrap().pop();
        bed.see("a", &more);
        bed.command(
            "a",
            Command::Register {
                method: muster_domain::machine::axes::Method::InBand,
                force: false,
                same_identity: true,
            },
        );
        bed.command("a", Command::Done { erased: false });
        let machine = bed.machine("a");
        assert_eq!((machine.lifecycle, machine.type_match), (State::Used, TypeMatch::Mismatch));
        assert!(!machine.flags.requires_re_register, "it was registered again");
        assert_eq!((bed.row("a").server_type, bed.alerts("a")), (first, vec![TYPE.to_owned()]));
        // With the disk back it is of its type again.
        bed.see("a", &hardware("01"));
        assert_eq!((bed.machine("a").type_match, bed.alerts("a")), (TypeMatch::Matched, vec![]));
    });
}

#[test]
fn another_mainboard_is_another_machine_until_it_is_back() {
    on_both(|bed| {
        bed.register("a", &hardware("01"));
        let mut swapped = hardware("01");
        swapped["system"] = hardware("09")["system"].clone();
        bed.see("a", &swapped);
        let machine = bed.machine("a");
        assert!(machine.alerts.blocking && machine.alerts.prevent_allocation && machine.flags.requires_re_register);
        assert_eq!(bed.alerts("a"), [IDENTITY]);
        assert_eq!(bed.row("a").serial.as_deref(), Some("SN01"), "its record stays who it was");
        // Registering it again does not make it the machine of the record.
        bed.command("a", Command::SetStatus(State::Unavailable));
        bed.command(
            "a",
            Command::Register {
                method: muster_domain::machine::axes::Method::InBand,
                force: false,
                same_identity: true,
            },
        );
        bed.command("a", Command::Done { erased: false });
        bed.see("a", &swapped);
        assert_eq!(bed.alerts("a"), [IDENTITY]);
        bed.see("a", &hardware("01"));
        assert_eq!((bed.alerts("a"), bed.machine("a").alerts.blocking), (vec![], false));
    });
}

#[test]
fn a_serial_number_of_another_machine_does_not_break_the_poll_and_keeps_both_apart() {
    on_both(|bed| {
        bed.register("a", &hardware("01"));
        let mut same = hardware("02");
        same["system"]["serial"] = json!("SN01");
        bed.register("b", &same);
        let machine = bed.machine("b");
        assert_eq!((machine.lifecycle, bed.row("b").serial), (State::Unavailable, None), "it does not enter the pool");
        assert_eq!(bed.alerts("b"), [CONFLICT]);
        assert_eq!(bed.alerts("a"), [""; 0]);
        let before = bed.row("b").generation;
        bed.see("b", &same);
        assert_eq!(bed.row("b").generation, before, "a conflict that stays is not written again and again");
        // The other record ends: the next look takes the identity.
        bed.command("a", Command::SetStatus(State::Unavailable));
        bed.command("a", Command::Decommission);
        bed.see("b", &same);
        assert_eq!((bed.row("b").serial.as_deref(), bed.alerts("b")), (Some("SN01"), vec![]));
    });
}

#[test]
fn a_machine_that_says_nothing_has_lost_nothing() {
    on_both(|bed| {
        bed.register("a", &json!({}));
        assert_eq!((bed.label("a").as_str(), bed.machine("a").lifecycle), ("unknown", State::Available));
        bed.register("b", &hardware("02"));
        let before = bed.row("b");
        bed.see("b", &json!({"cpu": null}));
        bed.write(|tx| seen(tx, "b", "b", "no JSON", by()));
        assert_eq!(bed.row("b"), before);
        // One that was registered before anybody looked is taken as it is.
        bed.see("a", &hardware("01"));
        assert_eq!(bed.row("a").serial.as_deref(), Some("SN01"));
    });
}

#[test]
fn an_expected_machine_gets_what_was_written_about_it() {
    on_both(|bed| {
        let expect = |id: &str| Expected {
            id: id.into(),
            asset: r#"{"rack":"r7","lower_unit":3,"upper_unit":3}"#.into(),
            bmc: r#"{"endpoint":"https://198.51.100.7","mac":"aa:bb:cc:00:00:01"}"#.into(),
            author: "anna".into(),
            created_at: 1,
            ..Expected::default()
        };
        let by_uuid = Expected { system_uuid: Some(uuid("01")), server_type: "big".into(), ..expect("1") };
        let by_serial = Expected { serial: Some("SN02".into()), ..expect("2") };
        let by_mac = Expected { mac: Some("02:00:00:00:00:03".into()), bmc: "{}".into(), ..expect("3") };
        // The same machine, written down by somebody else who knew less of it, and something more.
        let twice = Expected {
            serial: Some("SN03".into()),
            server_type: "big".into(),
            asset: "{}".into(),
            bmc: r#"{"endpoint":"https://198.51.100.9","mac":"aa:bb:cc:00:00:09"}"#.into(),
            ..expect("4")
        };
        // Another machine, written down with a card of that one.
        let mistyped = Expected {
            system_uuid: Some(uuid("77")),
            mac: Some("02:00:00:00:00:01".into()),
            server_type: "huge".into(),
            ..expect("5")
        };
        for row in [by_uuid, by_serial, by_mac, twice, mistyped] {
            bed.write(move |tx| expected_machines::insert(tx, &row, Some(&Secret::from("calvin"))));
        }
        // By its UUID when it registers, before anything was polled.
        bed.begin("a", Some(uuid("01")));
        bed.write(|tx| expected::registered(tx, "a", Some(&uuid("01")), by()));
        let row = bed.row("a");
        assert!(row.asset.contains("r7") && row.bmc.contains("198.51.100.7"));
        assert_eq!(row.bmc_mac.as_deref(), Some("aa:bb:cc:00:00:01"));
        assert_eq!(bed.write(|tx| machines::bmc_password(tx, "a")), Some(Secret::from("calvin")));
        bed.see("a", &hardware("01"));
        bed.command("a", Command::FirstPoll { open: true, accepts_data: false });
        assert_eq!(bed.alerts("a"), [EXPECTED_TYPE]);
        assert!(bed.machine("a").alerts.prevent_allocation);
        // By serial number; another machine has the BMC.
        bed.register("b", &hardware("02"));
        let row = bed.row("b");
        assert!(row.asset.contains("r7") && row.bmc == "{}" && row.bmc_mac.is_none());
        bed.register("c", &hardware("03"));
        let row = bed.row("c");
        assert!(row.asset.contains("r7") && row.bmc.contains("198.51.100.9"));
        assert_eq!(bed.alerts("c"), [EXPECTED_TYPE]);
        assert_eq!(bed.history("c", "machine.expected").len(), 2);
        assert!(bed.history("c", "machine.expected").contains(&"expected by anna, recognised by its mac".to_owned()));
        let left = bed.write(|tx| expected_machines::list(tx, Some(false), None, 10));
        assert_eq!(left.into_iter().map(|row| row.id).collect::<Vec<_>>(), ["5"]);
    });
}

#[test]
fn somebody_may_answer_for_an_alert_of_the_centers_own() {
    on_both(|bed| {
        bed.register("a", &hardware("01"));
        let mut more = hardware("01");
        more["memory"]["total"] = json!(128_u64 << 30);
        bed.see("a", &more);
        let at = jiff::Timestamp::from_microsecond(NOW).unwrap();
        let expires = Some(at + jiff::SignedDuration::from_secs(60));
        let answer =
            muster_domain::machine::alert::Override { author: "anna".into(), reason: "bought so".into(), at, expires };
        bed.write(move |tx| {
            let row = machines::get(tx, "a")?.unwrap();
            alerts::answer(tx, row, ("muster", TYPE), Some(answer.clone()), by()).map(drop)
        });
        assert!(!bed.machine("a").alerts.prevent_allocation);
        assert_eq!(bed.write(|tx| machine_alerts::due(tx, NOW + 60_000_000, 10)), ["a"]);
        bed.write(|tx| {
            let row = machines::get(tx, "a")?.unwrap();
            alerts::refresh(tx, row, By { now: NOW + 60_000_000, ..by() }).map(drop)
        });
        assert!(bed.machine("a").alerts.prevent_allocation);
        assert_eq!(bed.write(|tx| machine_alerts::due(tx, i64::MAX, 10)), [""; 0]);
    });
}
