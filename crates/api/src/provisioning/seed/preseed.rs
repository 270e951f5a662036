//! The seeds `migration_manager` and `operations_center`: first settings of those applications (`servers.md` 12.3).

use super::{is_zero, list, nullable_list};
use crate::lenient::null_as_default;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// First settings of a migration manager.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedMigrationManager {
    /// Version of the document, not interpreted.
    #[serde(deserialize_with = "null_as_default")]
    pub version: String,
    /// PEM certificates of clients with full access.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub trusted_client_certificates: Vec<String>,
    /// Fill in what is left open.
    #[serde(deserialize_with = "null_as_default")]
    pub apply_defaults: bool,
    /// The settings.
    pub preseed: Option<MigrationManagerPreseed>,
}

/// Settings of a migration manager.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct MigrationManagerPreseed {
    /// Its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_certificate: Option<MigrationManagerCertificate>,
    /// Its addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_network: Option<MigrationManagerNetwork>,
    /// Who may use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_security: Option<MigrationManagerSecurity>,
}

/// Certificate of a migration manager.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct MigrationManagerCertificate {
    /// PEM chain, leaf first.
    #[serde(deserialize_with = "null_as_default")]
    pub certificate: String,
    /// PEM key.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub key: String,
    /// PEM of the authority.
    #[serde(deserialize_with = "null_as_default")]
    pub ca: String,
}

/// Addresses of a migration manager.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct MigrationManagerNetwork {
    /// Listen address, `IP:port`.
    #[serde(deserialize_with = "null_as_default")]
    pub rest_server_address: String,
    /// URL that workers are given.
    #[serde(deserialize_with = "null_as_default")]
    pub worker_endpoint: String,
}

/// Who may use a migration manager.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct MigrationManagerSecurity {
    /// SHA-256 fingerprints of client certificates with full access.
    #[serde(deserialize_with = "nullable_list")]
    pub trusted_tls_client_cert_fingerprints: Option<Vec<String>>,
    /// PEM certificates of such clients.
    #[serde(deserialize_with = "nullable_list")]
    pub trusted_tls_client_certificates: Option<Vec<String>>,
    /// IP addresses whose PROXY protocol header is believed.
    #[serde(deserialize_with = "nullable_list")]
    pub trusted_https_proxies: Option<Vec<String>>,
    /// OpenID Connect log-in.
    #[serde(deserialize_with = "null_as_default")]
    pub oidc: SeedOidc,
    /// OpenFGA authorisation.
    #[serde(deserialize_with = "null_as_default")]
    pub openfga: SeedOpenFga,
    /// Automatic server certificate.
    #[serde(deserialize_with = "null_as_default")]
    pub acme: SeedAcme,
}

/// First settings of an operations center.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedOperationsCenter {
    /// Version of the document, not interpreted.
    #[serde(deserialize_with = "null_as_default")]
    pub version: String,
    /// PEM certificates of clients with full access.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub trusted_client_certificates: Vec<String>,
    /// Fill in what is left open.
    #[serde(deserialize_with = "null_as_default")]
    pub apply_defaults: bool,
    /// The settings.
    pub preseed: Option<OperationsCenterPreseed>,
}

/// Settings of an operations center.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct OperationsCenterPreseed {
    /// Its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_certificate: Option<OperationsCenterCertificate>,
    /// Its addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_network: Option<OperationsCenterNetwork>,
    /// Who may use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_security: Option<OperationsCenterSecurity>,
    /// Where its updates come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_updates: Option<OperationsCenterUpdates>,
    /// The rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_settings: Option<OperationsCenterSettings>,
}

/// Certificate of an operations center.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct OperationsCenterCertificate {
    /// PEM chain, leaf first.
    #[serde(deserialize_with = "null_as_default")]
    pub certificate: String,
    /// PEM key.
    #[serde(deserialize_with = "null_as_default")]
    pub key: String,
}

/// Addresses of an operations center.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct OperationsCenterNetwork {
    /// Public URL that machines are given.
    #[serde(deserialize_with = "null_as_default")]
    pub address: String,
    /// Listen address, `IP:port`.
    #[serde(deserialize_with = "null_as_default")]
    pub rest_server_address: String,
}

/// Who may use an operations center.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct OperationsCenterSecurity {
    /// SHA-256 fingerprints of client certificates with full access.
    #[serde(deserialize_with = "nullable_list")]
    pub trusted_tls_client_cert_fingerprints: Option<Vec<String>>,
    /// OpenID Connect log-in.
    #[serde(deserialize_with = "null_as_default")]
    pub oidc: SeedOidc,
    /// OpenFGA authorisation.
    #[serde(deserialize_with = "null_as_default")]
    pub openfga: SeedOpenFga,
    /// Automatic server certificate.
    #[serde(deserialize_with = "null_as_default")]
    pub acme: SeedAcme,
    /// IP addresses whose PROXY protocol header is believed.
    #[serde(deserialize_with = "nullable_list")]
    pub trusted_https_proxies: Option<Vec<String>>,
}

/// Where the updates of an operations center come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct OperationsCenterUpdates {
    /// URL of the update source.
    #[serde(deserialize_with = "null_as_default")]
    pub source: String,
    /// PEM of the root that signs it.
    #[serde(deserialize_with = "null_as_default")]
    pub signature_verification_root_ca: String,
    /// Which updates to take.
    #[serde(deserialize_with = "null_as_default")]
    pub filter_expression: String,
    /// Which of their files to take.
    #[serde(deserialize_with = "null_as_default")]
    pub file_filter_expression: String,
    /// Channel that new updates are assigned to.
    #[serde(deserialize_with = "null_as_default")]
    pub updates_default_channel: String,
    /// Channel of new servers.
    #[serde(deserialize_with = "null_as_default")]
    pub server_default_channel: String,
    /// Image servers are given their token as a query parameter.
    #[serde(deserialize_with = "null_as_default")]
    pub image_server_authentication_by_query_param: bool,
}

/// The other settings of an operations center.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct OperationsCenterSettings {
    /// `TRACE` to `ERROR`, empty for `WARN`.
    #[serde(deserialize_with = "null_as_default")]
    pub log_level: String,
    /// Starlark run at registration, or empty.
    #[serde(deserialize_with = "null_as_default")]
    pub server_registration_scriptlet: String,
}

/// OpenID Connect log-in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedOidc {
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

/// OpenFGA authorisation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedOpenFga {
    /// Secret.
    #[serde(deserialize_with = "null_as_default")]
    pub api_token: String,
    /// HTTP API.
    #[serde(deserialize_with = "null_as_default")]
    pub api_url: String,
    /// Store.
    #[serde(deserialize_with = "null_as_default")]
    pub store_id: String,
}

/// Automatic server certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedAcme {
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
    /// `KEY=value` list; the values are secret.
    #[serde(deserialize_with = "nullable_list")]
    pub provider_environment: Option<Vec<String>>,
    /// Resolvers for DNS-01.
    #[serde(deserialize_with = "nullable_list")]
    pub provider_resolvers: Option<Vec<String>>,
}

objects!(
    SeedMigrationManager,
    MigrationManagerPreseed,
    MigrationManagerCertificate,
    MigrationManagerNetwork,
    MigrationManagerSecurity,
    SeedOperationsCenter,
    OperationsCenterPreseed,
    OperationsCenterCertificate,
    OperationsCenterNetwork,
    OperationsCenterSecurity,
    OperationsCenterUpdates,
    OperationsCenterSettings,
    SeedOidc,
    SeedOpenFga,
    SeedAcme
);
