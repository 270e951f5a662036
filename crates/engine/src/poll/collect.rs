//! What a full poll asks, in the reference's order (`servers.md` 8.4, 6).

use muster_api::provisioning::{
    server::{ApplicationVersion, OsVersion, VersionData},
    status::ServerType,
};
use muster_clients::{
    call::{CallError, Failure},
    machine::Machine,
};
use muster_domain::server::{address, documents::Documents};
use muster_store::tables::servers::Server as ServerRow;

/// The documents of a machine, ready to be stored.
pub struct Collected {
    /// Incus resources document.
    pub hardware: String,
    /// Network, security and storage, secrets masked.
    pub os_data: String,
    /// The same with the secrets, to be sealed.
    pub secrets: String,
    /// Versions, without computed members.
    pub versions: VersionData,
    /// By its first primary application.
    pub server_type: ServerType,
    /// Where it is reached from now on.
    pub connection_url: String,
}

/// Why a full poll ended early.
pub enum CollectError {
    /// The machine was lost on the way.
    Call(CallError),
    /// It gave an error, or a document that says nothing usable.
    Answer(String),
}

impl From<CallError> for CollectError {
    fn from(e: CallError) -> Self {
        match &e.failure {
            Failure::Api { .. } | Failure::Http(_) => Self::Answer(e.to_string()),
            _ => Self::Call(e),
        }
    }
}

/// Asks for everything.
///
/// # Errors
/// The first call that fails.
pub async fn collect(machine: &Machine, row: &ServerRow) -> Result<Collected, CollectError> {
    let resources = machine.resources().await?;
    let network = machine.network().await?;
    let security = machine.security().await?;
    let storage = machine.storage().await?;
    let documents = Documents { resources: &resources, network: &network, security: &security, storage: &storage };
    let kept = documents.keep().map_err(|e| CollectError::Answer(e.to_string()))?;
    let connection_url = address::connection_url(&row.connection_url, &kept.management).ok_or_else(|| {
        CollectError::Answer(
            "Failed to determine an IP address for the network interface with \"management\" role".into(),
        )
    })?;
    let environment = machine.environment().await?;
    let mut applications = Vec::new();
    for name in machine.applications().await? {
        let application = machine.application(&name).await?;
        applications.push(ApplicationVersion {
            name,
            version: application.version,
            friendly_version: application.friendly_version,
            ..ApplicationVersion::default()
        });
    }
    let update = machine.update_document().await?;
    let names = machine.applications().await?;
    let server_type = names.iter().filter_map(|n| n.parse::<ServerType>().ok()).find(|t| *t != ServerType::Unknown);
    Ok(Collected {
        hardware: kept.hardware,
        os_data: kept.os_data,
        secrets: kept.secrets,
        versions: VersionData {
            os: OsVersion {
                name: environment.os_name,
                version: environment.os_version,
                version_next: environment.os_version_next,
                needs_reboot: update.state.needs_reboot,
                ..OsVersion::default()
            },
            applications: Some(applications),
            update_channel: update.config.channel,
            ..VersionData::default()
        },
        server_type: server_type.unwrap_or_default(),
        connection_url,
    })
}
