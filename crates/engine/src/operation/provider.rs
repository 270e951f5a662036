//! Where a machine finds the center: its provider configuration, brought up to date (`servers.md` 7.5, 12.7).

use super::perform;
use crate::{Engine, identity, settings};
use muster_store::tables::servers::Server as ServerRow;
use std::collections::BTreeMap;

/// The provider of machines that belong to a center.
const OURS: &str = "operations-center";

/// Gives a machine the present address and certificate of the center. What is stored counts, not what this process knows:
/// another one may have changed it. A machine that belongs to another provider by now is left alone.
///
/// # Errors
/// Why not, for people.
pub(super) async fn push(engine: &Engine, row: &ServerRow) -> Result<(), String> {
    let now = engine.clock().micros();
    let stored = engine.store().read(|tx| Ok((settings::network(tx)?, identity::server_certificate(tx)?)));
    let (network, certificate) = stored.await.map_err(|e| e.to_string())?;
    let machine = perform::machine(engine, row)?;
    let mut document = machine.provider().await.map_err(|e| format!("its provider cannot be read: {}", e.failure))?;
    if document.config.name != OURS {
        return Ok(());
    }
    let before = document.config.config.clone();
    let certificate = certificate.filter(|pem| !identity::is_publicly_trusted(pem, now));
    update(&mut document.config.config, &network.address, certificate);
    if document.config.config == before {
        return Ok(());
    }
    machine.put_provider(&document).await.map_err(|e| format!("it does not take its provider: {}", e.failure))
}

/// An address that is not configured leaves the one that the machine has. A certificate that every machine trusts anyway
/// is not pinned.
fn update(config: &mut BTreeMap<String, String>, address: &str, certificate: Option<String>) {
    if !address.is_empty() {
        config.insert("server_url".into(), address.to_owned());
    }
    match certificate {
        Some(pem) => config.insert("server_certificate".into(), pem),
        None => config.remove("server_certificate"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_and_certificate_change_and_the_rest_stays() {
        let mut config =
            BTreeMap::from([("server_token".into(), "t".into()), ("server_url".into(), "https://a".into())]);
        update(&mut config, "https://b", Some("pem".into()));
        let all: Vec<_> = config.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(all, [("server_certificate", "pem"), ("server_token", "t"), ("server_url", "https://b")]);
        update(&mut config, "", None);
        let all: Vec<_> = config.keys().map(String::as_str).collect();
        assert_eq!(all, ["server_token", "server_url"]);
    }
}
