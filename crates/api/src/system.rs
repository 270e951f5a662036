//! Settings of the center itself (`updates-and-system.md` 6, 7).

use crate::lenient::null_as_default;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `/1.0/system/network`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SystemNetwork {
    /// Public URL that machines are given.
    #[serde(deserialize_with = "null_as_default")]
    pub address: String,
    /// Listen address, `IP:port`; empty for none.
    #[serde(deserialize_with = "null_as_default")]
    pub rest_server_address: String,
}

fn empty_as_null<S: serde::Serializer>(list: &[String], s: S) -> Result<S::Ok, S::Error> {
    if list.is_empty() { s.serialize_none() } else { list.serialize(s) }
}

/// `/1.0/system/security`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SystemSecurity {
    /// SHA-256 fingerprints of client certificates with full access.
    #[serde(deserialize_with = "null_as_default")]
    pub trusted_tls_client_cert_fingerprints: Vec<String>,
    /// OpenID Connect log-in.
    #[serde(deserialize_with = "null_as_default")]
    pub oidc: SystemOidc,
    /// OpenFGA authorisation.
    #[serde(deserialize_with = "null_as_default")]
    pub openfga: SystemOpenFga,
    /// Automatic server certificate.
    #[serde(deserialize_with = "null_as_default")]
    pub acme: SystemAcme,
    /// IP addresses whose PROXY protocol header is believed; `null` for none, as the reference writes it.
    #[serde(deserialize_with = "null_as_default", serialize_with = "empty_as_null")]
    pub trusted_https_proxies: Vec<String>,
}

/// Part of [`SystemSecurity`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SystemOidc {
    /// Issuer URL.
    #[serde(deserialize_with = "null_as_default")]
    pub issuer: String,
    /// Client id.
    #[serde(deserialize_with = "null_as_default")]
    pub client_id: String,
    /// Comma-separated scopes.
    #[serde(deserialize_with = "null_as_default")]
    pub scopes: String,
    /// Audience, optional.
    #[serde(deserialize_with = "null_as_default")]
    pub audience: String,
    /// Claim that names the user.
    #[serde(deserialize_with = "null_as_default")]
    pub claim: String,
}

/// Part of [`SystemSecurity`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SystemOpenFga {
    /// Secret; masked when read.
    #[serde(deserialize_with = "null_as_default")]
    pub api_token: String,
    /// HTTP API.
    #[serde(deserialize_with = "null_as_default")]
    pub api_url: String,
    /// Store.
    #[serde(deserialize_with = "null_as_default")]
    pub store_id: String,
}

impl SystemAcme {
    /// With the defaults of `updates-and-system.md` 7.3 where nothing is given.
    #[must_use]
    pub fn with_defaults(mut self) -> Self {
        for (field, default) in [
            (&mut self.ca_url, "https://acme-v02.api.letsencrypt.org/directory"),
            (&mut self.challenge, "HTTP-01"),
            (&mut self.http_challenge_address, ":80"),
        ] {
            if field.is_empty() {
                default.clone_into(field);
            }
        }
        self
    }
}

/// Part of [`SystemSecurity`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SystemAcme {
    /// Terms of service accepted.
    #[serde(deserialize_with = "null_as_default")]
    pub agree_tos: bool,
    /// Directory of the certificate authority.
    #[serde(deserialize_with = "null_as_default")]
    pub ca_url: String,
    /// `HTTP-01` or `DNS-01`.
    #[serde(deserialize_with = "null_as_default")]
    pub challenge: String,
    /// Domain, or several separated by commas.
    #[serde(deserialize_with = "null_as_default")]
    pub domain: String,
    /// Contact.
    #[serde(deserialize_with = "null_as_default")]
    pub email: String,
    /// Where the HTTP-01 answerer listens.
    #[serde(deserialize_with = "null_as_default")]
    pub http_challenge_address: String,
    /// DNS provider.
    #[serde(deserialize_with = "null_as_default")]
    pub provider: String,
    /// `KEY=value` list; values are secret and masked when read.
    #[serde(deserialize_with = "null_as_default")]
    pub provider_environment: Vec<String>,
    /// DNS resolvers.
    #[serde(deserialize_with = "null_as_default")]
    pub provider_resolvers: Vec<String>,
}

/// `/1.0/system/settings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SystemSettings {
    /// `TRACE` to `ERROR`, empty for `WARN`.
    #[serde(deserialize_with = "null_as_default")]
    pub log_level: String,
    /// Starlark run at registration, or empty.
    #[serde(deserialize_with = "null_as_default")]
    pub server_registration_scriptlet: String,
    /// Whether a machine that registered with a token becomes available by itself (the default), or waits as unavailable until
    /// a person has looked at it. Ours: absent in a request leaves it as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered_machines_available: Option<bool>,
}

impl SystemSettings {
    /// With what it does not say of ours as it was: those who know only the reference's keys do not undo them.
    #[must_use]
    pub fn or_as_before(mut self, before: &Self) -> Self {
        self.registered_machines_available =
            self.registered_machines_available.or(before.registered_machines_available);
        self
    }

    /// With every default written out.
    #[must_use]
    pub fn in_full(mut self) -> Self {
        self.registered_machines_available = Some(self.opens_machines());
        self
    }

    /// Whether registered machines become available by themselves.
    pub fn opens_machines(&self) -> bool {
        self.registered_machines_available.unwrap_or(true)
    }
}

/// `/1.0/system/updates`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SystemUpdates {
    /// URL of the update source; empty for none.
    #[serde(default, deserialize_with = "null_as_default")]
    pub source: String,
    /// PEM of the root that signs it.
    #[serde(default, deserialize_with = "null_as_default")]
    pub signature_verification_root_ca: String,
    /// Which updates to take.
    #[serde(default, deserialize_with = "null_as_default")]
    pub filter_expression: String,
    /// Which of their files to take.
    #[serde(default, deserialize_with = "null_as_default")]
    pub file_filter_expression: String,
    /// Channel that new updates are assigned to.
    #[serde(default, deserialize_with = "null_as_default")]
    pub updates_default_channel: String,
    /// Channel of new servers.
    #[serde(default, deserialize_with = "null_as_default")]
    pub server_default_channel: String,
    /// Image servers are given their token as a query parameter.
    #[serde(default, deserialize_with = "null_as_default")]
    pub image_server_authentication_by_query_param: bool,
    /// SHA-256 fingerprint of an intermediate certificate that has to be between the root and who signs; empty for any. Ours:
    /// absent in a request leaves it as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature_verification_intermediate: Option<String>,
    /// How many updates of each component each channel keeps. Ours: absent in a request leaves it as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retained_updates: Option<u32>,
    /// Bytes per second that are fetched from the source; 0 for no limit. Ours: absent in a request leaves it as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_bytes_per_second: Option<u64>,
    /// Bytes per second that are sent of update files, all downloads together; 0 for no limit. Ours: absent in a request
    /// leaves it as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_bytes_per_second: Option<u64>,
    /// Downloads of update files that are sent at the same time; 0 for no limit. Further ones wait in order of arrival. Ours:
    /// absent in a request leaves it as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_downloads_at_once: Option<u32>,
}

/// The source that a new site begins with.
pub const UPDATES_SOURCE: &str = "https://images.linuxcontainers.org/os/";

/// Root certificate of the publisher of IncusOS.
pub const UPDATES_ROOT_CA: &str = include_str!("incus-os-root-e1.pem");

/// How many updates of each component a channel keeps where nothing is set.
pub const RETAINED_UPDATES: u32 = 3;

impl SystemUpdates {
    /// With every setting of ours said, as it holds.
    #[must_use]
    pub fn in_full(mut self) -> Self {
        self.signature_verification_intermediate.get_or_insert_default();
        self.retained_updates.get_or_insert(RETAINED_UPDATES);
        self.source_bytes_per_second.get_or_insert_default();
        self.file_bytes_per_second.get_or_insert_default();
        self.file_downloads_at_once.get_or_insert_default();
        self
    }

    /// With what it does not say of ours as it was: those who know only the reference's keys do not undo them.
    #[must_use]
    pub fn or_as_before(mut self, before: &Self) -> Self {
        let intermediate = || before.signature_verification_intermediate.clone();
        self.signature_verification_intermediate = self.signature_verification_intermediate.or_else(intermediate);
        self.retained_updates = self.retained_updates.or(before.retained_updates);
        self.source_bytes_per_second = self.source_bytes_per_second.or(before.source_bytes_per_second);
        self.file_bytes_per_second = self.file_bytes_per_second.or(before.file_bytes_per_second);
        self.file_downloads_at_once = self.file_downloads_at_once.or(before.file_downloads_at_once);
        self
    }
}

impl Default for SystemUpdates {
    fn default() -> Self {
        Self {
            source: UPDATES_SOURCE.into(),
            signature_verification_root_ca: UPDATES_ROOT_CA.into(),
            filter_expression: r#""stable" in upstream_channels"#.into(),
            file_filter_expression: r#"applies_to_architecture(architecture, "x86_64")"#.into(),
            updates_default_channel: "stable".into(),
            server_default_channel: "stable".into(),
            image_server_authentication_by_query_param: false,
            signature_verification_intermediate: None,
            retained_updates: None,
            source_bytes_per_second: None,
            file_bytes_per_second: None,
            file_downloads_at_once: None,
        }
    }
}

/// Body of `POST /1.0/system/certificate`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SystemCertificatePost {
    /// PEM chain, leaf first.
    #[serde(deserialize_with = "null_as_default")]
    pub certificate: String,
    /// PEM key.
    #[serde(deserialize_with = "null_as_default")]
    pub key: String,
}

/// `/1.0/system/key`: the key that secrets are sealed with. Never the key itself: an id is a digest of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SystemKey {
    /// Id of the key in use.
    pub id: String,
    /// Where this daemon has its keys from: `file`, `environment` or `credential`.
    pub origin: String,
    /// The key file, or empty.
    pub path: String,
    /// Ids of all keys that this daemon has at hand.
    pub keys: Vec<String>,
    /// The daemons on this database; empty where there can be only one.
    pub daemons: Vec<SystemKeyDaemon>,
    /// The change that this daemon is at.
    pub change: Option<SystemKeyChange>,
}

/// Part of [`SystemKey`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SystemKeyDaemon {
    /// Its id, new with each start.
    pub id: String,
    /// Name of its host.
    pub host: String,
    /// Ids of the keys that it has at hand.
    pub keys: Vec<String>,
    /// Whether it is the one that answers.
    pub this: bool,
}

/// Part of [`SystemKey`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SystemKeyChange {
    /// Id of the next key.
    pub next: String,
    /// Hosts of the daemons that have not looked for it yet.
    pub waits_for: Vec<String>,
    /// Secrets sealed anew so far.
    pub sealed: u64,
    /// Secrets to be sealed anew; 0 while it waits.
    pub total: u64,
}

/// Answer to `POST /1.0/system/key/:rekey`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SystemKeyChanged {
    /// Id of the key in use before.
    pub former: String,
    /// Id of the key in use now.
    pub id: String,
    /// Secrets sealed anew.
    pub sealed: u64,
}

/// `GET /1.0`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerInfo {
    /// Always `devel`, as the reference says.
    pub api_status: String,
    /// Always `1.0`.
    pub api_version: String,
    /// How the caller is known: `unix`, `tls`, `oidc` or `untrusted`.
    pub auth: String,
    /// Ways to log in.
    pub auth_methods: Vec<String>,
    /// Version of the daemon.
    pub server_version: String,
}
