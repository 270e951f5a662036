//! Servers as text: list cells, `show`, and what their removal loses (cli.md 7.6).

use super::{items, labelled};
use crate::output::{List, Order, json_block, yaml_block};
use crate::text::{field, indent, short, time_field};
use clap::Args;
use serde_json::{Value, json};

/// Sections of `server show` on request.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Sections {
    /// Show the properties
    #[arg(long)]
    pub(crate) properties: bool,
    /// Show the hardware
    #[arg(long)]
    pub(crate) resources: bool,
    /// Show network, security and storage of the system
    #[arg(long)]
    pub(crate) os_data: bool,
    /// Show the versions
    #[arg(long)]
    pub(crate) version_data: bool,
    /// Show what the management controller tells
    #[arg(long)]
    pub(crate) bmc_data: bool,
}

const TITLES: [&str; 13] = [
    "Cluster",
    "Name",
    "Connection URL",
    "Description",
    "Public Connection URL",
    "Certificate Fingerprint",
    "Type",
    "Channel",
    "Status",
    "Update Status",
    "Last Updated",
    "Last Seen",
    "Recommended Action",
];

fn status(server: &Value) -> String {
    match (field(server, "server_status"), field(server, "server_status_detail")) {
        (status, detail) if detail.is_empty() => status,
        (status, detail) => format!("{status} ({detail})"),
    }
}

fn cells(o: &Value) -> Vec<String> {
    vec![
        field(o, "cluster"),
        field(o, "name"),
        field(o, "connection_url"),
        field(o, "description"),
        field(o, "public_connection_url"),
        short(&field(o, "fingerprint")),
        field(o, "server_type"),
        field(o, "channel"),
        status(o),
        field(o, "update_status"),
        time_field(o, "last_updated"),
        time_field(o, "last_seen"),
        field(o, "recommended_action"),
    ]
}

/// The list.
pub(crate) fn rows(raw: &Value) -> List<'_> {
    List { titles: &TITLES, rows: items(raw).iter().map(cells).collect(), raw, order: Order::All }
}

/// `show`; `reasons` adds why the status is what it is.
pub(crate) fn human(raw: &Value, sections: &Sections, reasons: bool) -> String {
    let mut out = labelled(&[
        ("Cluster", field(raw, "cluster")),
        ("Name", field(raw, "name")),
        ("Connection URL", field(raw, "connection_url")),
        ("Description", field(raw, "description")),
        ("Public Connection URL", field(raw, "public_connection_url")),
    ]);
    out += &format!("Certificate:\n{}\n", indent("  ", field(raw, "certificate").trim_end()));
    out += &labelled(&[
        ("Certificate Fingerprint", field(raw, "fingerprint")),
        ("Type", field(raw, "server_type")),
        ("Channel", field(raw, "channel")),
        ("BMC API Type", field(raw, "bmc_config.api_type")),
        ("BMC Endpoint", field(raw, "bmc_config.endpoint")),
        ("BMC Username", field(raw, "bmc_config.username")),
        ("System UUID", field(raw, "system_uuid")),
        ("Machine ID", field(raw, "machine_id")),
        ("Status", status(raw)),
        ("Update Status", field(raw, "update_status")),
        ("Last Updated", time_field(raw, "last_updated")),
        ("Last Seen", time_field(raw, "last_seen")),
        ("Recommended Action", field(raw, "recommended_action")),
    ]);
    let reason = field(raw, "status_reason");
    if reasons && !reason.is_empty() {
        out += &labelled(&[("Status Reason", reason)]);
    }
    if sections.properties {
        out += &yaml_block("Properties", raw.get("properties").filter(|map| map.is_object()).unwrap_or(&json!({})));
    }
    for (wanted, label, key) in [
        (sections.resources, "Resources", "hardware_data"),
        (sections.os_data, "OS Data", "os_data"),
        (sections.version_data, "Version Data", "version_data"),
        (sections.bmc_data, "BMC Data", "bmc_data"),
    ] {
        if wanted {
            out += &json_block(label, &raw[key]);
        }
    }
    out
}

/// What removing a server from the center loses.
pub(crate) fn lost_by_removal(server: &Value) -> Vec<String> {
    let mut lost = vec![format!(
        "the registration of {} ({}, {}): it must register again with a token",
        field(server, "name"),
        field(server, "connection_url"),
        status(server)
    )];
    let cluster = field(server, "cluster");
    if !cluster.is_empty() {
        lost.push(format!("its place in cluster {cluster}"));
    }
    let endpoint = field(server, "bmc_config.endpoint");
    if !endpoint.is_empty() {
        lost.push(format!("the access data of its management controller {endpoint}"));
    }
    lost
}

/// What is on the drives of a server: storage pools with their volumes, and applications.
pub(crate) fn on_its_drives(server: &Value) -> Vec<String> {
    let mut lost = Vec::new();
    for pool in items(&server["os_data"]["storage"]["state"]["pools"]) {
        let volumes: Vec<String> = items(&pool["volumes"]).iter().map(|volume| field(volume, "name")).collect();
        let name = field(pool, "name");
        lost.push(if volumes.is_empty() {
            format!("storage pool {name}")
        } else {
            format!("storage pool {name} with volumes {}", volumes.join(", "))
        });
    }
    for application in items(&server["version_data"]["applications"]) {
        lost.push(format!("application {} and its data", field(application, "name")));
    }
    lost.push("the operating system and its configuration".to_owned());
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Value {
        json!({"public_connection_url": "", "channel": "stable", "description": "", "properties": null,
            "bmc_config": {"api_type": "", "endpoint": "", "username": ""}, "name": "m1", "connection_url": "https://127.64.0.1:8443",
            "system_uuid": "s", "machine_id": "i", "certificate": "-----BEGIN\nabc\n-----END\n", "fingerprint": "0123456789abcdef", "cluster": "",
            "server_type": "incus", "hardware_data": {"cpu": {"total": 1}}, "os_data": {"storage": {"state": {"pools": [{"name": "local", "volumes": [{"name": "incus"}]}]}}},
            "version_data": {"applications": [{"name": "incus"}]}, "bmc_data": {"virtual_media": null}, "server_status": "ready",
            "server_status_detail": "", "last_updated": "2026-08-20T19:58:04Z", "last_seen": "2026-08-20T19:58:05Z",
            "update_status": "up to date", "recommended_action": "", "status_reason": ""})
    }

    #[test]
    fn list_as_recorded() {
        let raw = json!([server()]);
        assert_eq!(
            rows(&raw).render("csv".parse().unwrap()),
            ",m1,https://127.64.0.1:8443,,,0123456789ab,incus,stable,ready,up to date,2026-08-20 19:58:04 +0000 UTC,2026-08-20 19:58:05 +0000 UTC,\n"
        );
    }

    #[test]
    fn show_as_recorded() {
        let all = Sections { properties: true, resources: true, os_data: false, version_data: false, bmc_data: true };
        assert_eq!(
            human(&server(), &all, true),
            "Cluster: \nName: m1\nConnection URL: https://127.64.0.1:8443\nDescription: \nPublic Connection URL: \nCertificate:\n  -----BEGIN\n  abc\n  -----END\nCertificate Fingerprint: 0123456789abcdef\nType: incus\nChannel: stable\nBMC API Type: \nBMC Endpoint: \nBMC Username: \nSystem UUID: s\nMachine ID: i\nStatus: ready\nUpdate Status: up to date\nLast Updated: 2026-08-20 19:58:04 +0000 UTC\nLast Seen: 2026-08-20 19:58:05 +0000 UTC\nRecommended Action: \nProperties:\n    {}\n    \nResources:\n    {\n      \"cpu\": {\n        \"total\": 1\n      }\n    }\nBMC Data:\n    {\n      \"virtual_media\": null\n    }\n"
        );
    }

    #[test]
    fn computed_keys_may_be_absent() {
        let mut server = server();
        let object = server.as_object_mut().unwrap();
        for key in ["update_status", "recommended_action", "status_reason"] {
            object.remove(key);
        }
        object.insert("server_status_detail".into(), "rebooting".into());
        let cells = cells(&server);
        assert_eq!((cells[8].as_str(), cells[9].as_str(), cells[12].as_str()), ("ready (rebooting)", "", ""));
        object_reason(&mut server);
        assert!(human(&server, &Sections::default(), true).ends_with("Status Reason: no answer\n"));
        assert!(!human(&server, &Sections::default(), false).contains("no answer"));
    }

    fn object_reason(server: &mut Value) {
        server["status_reason"] = "no answer".into();
    }

    #[test]
    fn losses_are_named() {
        let lost = on_its_drives(&server());
        assert_eq!(lost[0], "storage pool local with volumes incus");
        assert_eq!(lost[1], "application incus and its data");
        let mut member = server();
        member["cluster"] = "c1".into();
        assert!(lost_by_removal(&member).iter().any(|line| line.contains("c1")));
    }
}
