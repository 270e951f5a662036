//! A stored row as the wire shows it: computed members filled in, secrets masked, documents passed on unread.

use super::tracking;
use crate::Error;
use muster_api::{
    provisioning::{
        server::{BmcConfig, MASK, Server, VersionData},
        status::ServerType,
    },
    time::Time,
};
use muster_domain::server::{
    update_state::{UpdateInputs, recommended_action, update_state},
    version::{ChannelIndex, compute},
};
use muster_store::tables::servers::Server as ServerRow;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What a server looks like before a poll (`servers.md` 14.3; every key is there).
pub const EMPTY_BMC_DATA: &str = r#"{"bmc_protocol":"","bmc_protocol_version":"","bmc_vendor":"","bmc_model":"","bmc_firmware_version":"","bmc_service_identification":"","server_manufacturer":"","server_model":"","server_sub_model":"","system_uuid":"","server_asset_tag":"","server_host_name":"","server_sku":"","server_serial_number":"","server_bios_version":"","server_bios_attributes":null,"server_processor_architecture":"","server_processor_instruction_set":"","server_power_state":"","server_location_indicator_active":false,"server_health_status":"","virtual_media":null,"last_updated":"0001-01-01T00:00:00Z"}"#;
/// The documents of a machine that was never polled.
pub const EMPTY_OS_DATA: &str = r#"{"network":{"config":null,"state":{"interfaces":null,"configuration_in_process":false}},"security":{"config":{"encryption_recovery_keys":null},"state":{"encrypted_volumes":null,"encryption_recovery_keys_retrieved":false,"drive_recovery_keys":null,"pool_recovery_keys":null,"secure_boot_certificates":null,"secure_boot_enabled":false,"system_state_is_trusted":false,"system_state_status":"","tpm_status":""}},"storage":{"config":{"scrub_schedule":""},"state":{"drives":null,"pools":null}}}"#;
/// Hardware of a machine that was never polled.
pub const EMPTY_HARDWARE: &str = r#"{"cpu":{"architecture":"","sockets":null,"total":0},"memory":{"hugepages_total":0,"hugepages_used":0,"hugepages_size":0,"used":0,"total":0},"gpu":{"cards":null,"total":0},"network":{"cards":null,"total":0},"storage":{"disks":null,"total":0},"usb":{"devices":null,"total":0},"pci":{"devices":null,"total":0},"system":{"uuid":"","vendor":"","product":"","family":"","version":"","sku":"","serial":"","type":"","firmware":null,"chassis":null,"motherboard":null},"load":{"Average1Min":0,"Average5Min":0,"Average10Min":0,"Processes":0},"serial":{"devices":null,"total":0}}"#;

/// The parts of `os_data` that are looked into.
#[derive(Deserialize)]
struct OsData {
    security: Security,
}

#[derive(Deserialize)]
struct Security {
    #[serde(default)]
    state: SecurityState,
}

#[derive(Deserialize, Default)]
struct SecurityState {
    #[serde(default)]
    system_state_is_trusted: bool,
}

/// The server as answered.
///
/// # Errors
/// [`Error::Internal`] when the stored row cannot be read.
pub fn view(row: &ServerRow, channel: &ChannelIndex) -> Result<Server, Error> {
    let broken = |what: &str| Error::Internal(format!("the stored server {:?} has broken {what}", row.name));
    let raw = |text: &str, what: &str| RawValue::from_string(text.to_owned()).map_err(|_| broken(what));
    let mut versions = tracking::versions(row);
    let enrolment = tracking::enrolment(row);
    let inputs = fill(&mut versions, row, channel);
    let trusted = serde_json::from_str::<OsData>(&row.os_data).is_ok_and(|d| d.security.state.system_state_is_trusted);
    Ok(Server {
        public_connection_url: row.public_connection_url.clone(),
        channel: row.channel.clone(),
        description: row.description.clone(),
        properties: match &row.properties {
            None => None,
            Some(text) => serde_json::from_str(text).map_err(|_| broken("properties"))?,
        },
        bmc_config: bmc(row),
        name: row.name.clone(),
        connection_url: row.connection_url.clone(),
        system_uuid: row.system_uuid.clone().unwrap_or_default(),
        machine_id: row.machine_key.clone().unwrap_or_default(),
        certificate: row.certificate.clone().unwrap_or_default(),
        fingerprint: row.fingerprint.clone().unwrap_or_default(),
        cluster: row.cluster.clone().unwrap_or_default(),
        server_type: row.server_type.parse().unwrap_or(ServerType::Unknown),
        hardware_data: raw(&row.hardware_data, "hardware_data")?,
        os_data: raw(&row.os_data, "os_data")?,
        version_data: versions,
        bmc_data: raw(&row.bmc_data, "bmc_data")?,
        server_status: enrolment.status,
        server_status_detail: enrolment.detail,
        last_updated: time(row.last_updated),
        last_seen: time(row.last_seen),
        system_state_is_trusted: trusted,
        update_status: update_state(inputs).as_str().into(),
        recommended_action: recommended_action(inputs).as_str().into(),
        status_reason: enrolment.last_failure.map(|f| f.how).unwrap_or_default(),
    })
}

/// One of the documents in `os_data`, or versions for `update`.
///
/// # Errors
/// [`Error::Internal`] when the stored row cannot be read.
pub fn document(row: &ServerRow, part: &str) -> Result<Box<RawValue>, Error> {
    let documents: std::collections::HashMap<String, Box<RawValue>> = serde_json::from_str(&row.os_data)
        .map_err(|_| Error::Internal(format!("the stored server {:?} has broken os_data", row.name)))?;
    documents
        .into_iter()
        .find(|(k, _)| k == part)
        .map(|(_, v)| v)
        .ok_or_else(|| Error::Internal(format!("the stored server {:?} has no {part} document", row.name)))
}

/// Management controller access with its password masked.
pub fn bmc(row: &ServerRow) -> BmcConfig {
    let mut bmc: BmcConfig = serde_json::from_str(&row.bmc).unwrap_or_default();
    // Whether there is a password is kept beside it, readable: the mask itself.
    if !bmc.password.is_empty() {
        bmc.password = MASK.into();
    }
    bmc
}

/// Zero is "never" in the store, year 1 on the wire.
pub fn time(micros: i64) -> Time {
    if micros == 0 { Time::never() } else { Time::from_micros(micros) }
}

fn fill(versions: &mut VersionData, row: &ServerRow, channel: &ChannelIndex) -> UpdateInputs {
    let installed = tracking::installed(versions);
    let computed = compute(&installed, channel);
    versions.os.available_version = computed.os.available_version;
    versions.os.needs_update = Some(computed.os.needs_update);
    for (application, offer) in versions.applications.iter_mut().flatten().zip(computed.applications) {
        application.available_version = offer.available_version;
        application.needs_update = Some(offer.needs_update);
    }
    versions.needs_update = Some(computed.needs_update);
    versions.needs_reboot = Some(computed.needs_reboot);
    versions.in_maintenance = Some(computed.in_maintenance as i64);
    UpdateInputs {
        status: tracking::status(row),
        detail: tracking::detail(row),
        needs_update: computed.needs_update,
        needs_reboot: computed.needs_reboot,
        in_maintenance: computed.in_maintenance,
        clustered_incus: row.cluster.is_some() && installed.has_incus(),
    }
}
