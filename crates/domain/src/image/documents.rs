//! The nine documents of a seed archive: what the operator set, what the center adds, and the defaults (`servers.md` 12.4).
//!
//! All nine are always there, in one order. Where the reference throws a list of applications away because its version is
//! empty, ours keeps the list: what an operator asked for is not replaced in silence.

use super::{layout::Layout, ustar, yaml};
use muster_api::provisioning::{
    seed::{SeedApplication, SeedApplications, TokenSeedConfigs},
    token::ProviderConfig,
};
use serde_json::{Value, json};

/// The version of documents that the center writes.
const VERSION: &str = "1";
/// The application of a machine that none is named for.
const APPLICATION: &str = "incus";

/// What the center adds to the documents of the operator.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// Where the machine registers, and by what.
    pub provider: &'a ProviderConfig,
    /// The channel that it follows.
    pub channel: &'a str,
    /// PEM certificates of authorities that it trusts besides the public ones.
    pub custom_ca_certs: &'a [String],
}

/// The documents are larger than their place in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the seed is {size} bytes large, and an image has room for {room}; shorten its documents")]
pub struct TooLarge {
    /// Size of the archive, in bytes.
    pub size: u64,
    /// Room for it, in bytes.
    pub room: u64,
}

/// The seed archive: the same bytes for the same seed.
///
/// # Errors
/// Documents that are larger than their place.
pub fn archive(seeds: &TokenSeedConfigs, given: Given<'_>) -> Result<Vec<u8>, TooLarge> {
    let documents = documents(seeds, given).map(|(name, document)| (name, yaml::write(&document)));
    let tar = ustar::write(documents.iter().map(|(name, text)| (*name, text.as_bytes())));
    let (size, room) = (tar.len() as u64, Layout::INCUSOS.room());
    if size > room { Err(TooLarge { size, room }) } else { Ok(tar) }
}

/// The documents by file name, in order.
fn documents(seeds: &TokenSeedConfigs, given: Given<'_>) -> [(&'static str, Value); 9] {
    let seeds = filled(seeds.clone());
    // Types with derived serialisation, maps with text keys: there is nothing in them that cannot be written.
    let value = |document: serde_json::Result<Value>| document.unwrap_or_default();
    [
        ("applications.yaml", value(serde_json::to_value(&seeds.applications))),
        ("incus.yaml", json!({"version": VERSION, "apply_defaults": false, "preseed": null})),
        ("install.yaml", value(serde_json::to_value(&seeds.install))),
        ("migration-manager.yaml", value(serde_json::to_value(&seeds.migration_manager))),
        ("network.yaml", value(serde_json::to_value(&seeds.network))),
        ("operations-center.yaml", value(serde_json::to_value(&seeds.operations_center))),
        ("provider.yaml", value(serde_json::to_value(given.provider))),
        ("security.yaml", security(given.custom_ca_certs)),
        (
            "update.yaml",
            json!({"auto_reboot": false, "channel": given.channel, "check_frequency": "never", "version": VERSION}),
        ),
    ]
}

fn security(custom_ca_certs: &[String]) -> Value {
    let mut security = serde_json::Map::new();
    if !custom_ca_certs.is_empty() {
        security.insert("custom_ca_certs".into(), json!(custom_ca_certs));
    }
    security.insert("encryption_recovery_keys".into(), json!([]));
    security.insert("version".into(), VERSION.into());
    security.into()
}

/// With the defaults, and with empty lists in place of none.
fn filled(mut seeds: TokenSeedConfigs) -> TokenSeedConfigs {
    let SeedApplications { version, applications } = &mut seeds.applications;
    if applications.as_ref().is_none_or(Vec::is_empty) && version.is_empty() {
        *applications = Some(vec![SeedApplication { name: APPLICATION.into() }]);
    }
    if version.is_empty() {
        *version = VERSION.into();
    }
    applications.get_or_insert_default();
    if let Some(proxy) = &mut seeds.network.proxy {
        proxy.rules.get_or_insert_default();
        proxy.servers.get_or_insert_default();
    }
    if let Some(security) = seeds.migration_manager.preseed.as_mut().and_then(|p| p.system_security.as_mut()) {
        security.trusted_tls_client_cert_fingerprints.get_or_insert_default();
        security.trusted_tls_client_certificates.get_or_insert_default();
        security.trusted_https_proxies.get_or_insert_default();
        security.acme.provider_environment.get_or_insert_default();
        security.acme.provider_resolvers.get_or_insert_default();
    }
    if let Some(security) = seeds.operations_center.preseed.as_mut().and_then(|p| p.system_security.as_mut()) {
        security.trusted_tls_client_cert_fingerprints.get_or_insert_default();
        security.trusted_https_proxies.get_or_insert_default();
        security.acme.provider_environment.get_or_insert_default();
        security.acme.provider_resolvers.get_or_insert_default();
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_api::body::strict;

    fn provider() -> ProviderConfig {
        let config = [
            ("server_url", "https://oc.example.test:7443"),
            ("server_token", "t"),
            ("server_certificate", "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n"),
        ];
        let config = config.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        ProviderConfig { name: "operations-center".into(), config, version: "1".into() }
    }

    fn texts(seeds: &TokenSeedConfigs, ca: &[String]) -> Vec<(&'static str, String)> {
        let provider = provider();
        let given = Given { provider: &provider, channel: "stable", custom_ca_certs: ca };
        documents(seeds, given).map(|(name, document)| (name, yaml::write(&document))).into()
    }

    #[test]
    fn an_image_without_seeds_has_all_nine_documents() {
        let empty = "version: \"\"\napply_defaults: false\npreseed: null\n";
        let expected = [
            ("applications.yaml", "version: \"1\"\napplications:\n  - name: \"incus\"\n"),
            ("incus.yaml", "version: \"1\"\napply_defaults: false\npreseed: null\n"),
            ("install.yaml", "version: \"\"\nforce_install: false\nforce_reboot: false\ntarget: null\n"),
            ("migration-manager.yaml", empty),
            ("network.yaml", "version: \"\"\n"),
            ("operations-center.yaml", empty),
            (
                "provider.yaml",
                "name: \"operations-center\"\nconfig:\n  server_certificate: |\n    -----BEGIN CERTIFICATE-----\n    YWJj\n    -----END CERTIFICATE-----\n  server_token: \"t\"\n  server_url: \"https://oc.example.test:7443\"\nversion: \"1\"\n",
            ),
            ("security.yaml", "encryption_recovery_keys: []\nversion: \"1\"\n"),
            ("update.yaml", "auto_reboot: false\nchannel: \"stable\"\ncheck_frequency: \"never\"\nversion: \"1\"\n"),
        ];
        let texts = texts(&TokenSeedConfigs::default(), &[]);
        let texts: Vec<_> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn what_is_not_set_is_an_empty_list_or_null_as_its_type_has_it() {
        let seeds: TokenSeedConfigs = strict(
            br#"{"applications": {"version": "2"}, "network": {"proxy": {}},
                "migration_manager": {"preseed": {"system_security": {}}},
                "operations_center": {"preseed": {"system_security": {}}}}"#,
        )
        .unwrap();
        let texts = texts(&seeds, &["a\nb\n".to_owned()]);
        let text = |name: &str| texts.iter().find(|(n, _)| *n == name).unwrap().1.as_str();
        assert_eq!(text("applications.yaml"), "version: \"2\"\napplications: []\n");
        assert_eq!(text("network.yaml"), "proxy:\n  rules: []\n  servers: {}\nversion: \"\"\n");
        for name in ["migration-manager.yaml", "operations-center.yaml"] {
            assert!(!text(name).contains("null"), "{}", text(name));
            assert!(text(name).contains("trusted_https_proxies: []\n"), "{}", text(name));
        }
        assert!(
            text("security.yaml").starts_with("custom_ca_certs:\n  - |\n    a\n    b\nencryption_recovery_keys: []")
        );
    }

    #[test]
    fn applications_without_a_version_are_kept() {
        let seeds: TokenSeedConfigs =
            strict(br#"{"applications": {"applications": [{"name": "migration-manager"}]}}"#).unwrap();
        let texts = texts(&seeds, &[]);
        assert_eq!(texts[0].1, "version: \"1\"\napplications:\n  - name: \"migration-manager\"\n");
    }

    #[test]
    fn the_archive_is_the_same_each_time_and_has_a_limit() {
        let provider = provider();
        let given = Given { provider: &provider, channel: "stable", custom_ca_certs: &[] };
        let mut seeds = TokenSeedConfigs::default();
        let tar = archive(&seeds, given).unwrap();
        assert_eq!(tar, archive(&seeds, given).unwrap());
        assert_eq!(tar.len(), 9 * 1024 + 1024);
        seeds.install.force_install_confirmation = "x".repeat(100 << 20);
        let error = archive(&seeds, given).unwrap_err();
        assert!(error.size > error.room && error.room == 104_857_600, "{error}");
    }
}
