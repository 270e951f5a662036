use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use super::peer::{Act, Peer, identity, sync};
use crate::call::Failure;
use crate::endpoint::Endpoint;
use crate::tls::{
    Curve, GENERATED_FOR, Identity, Kind, TlsError, client_config_at, der_to_pem, fingerprint, first_dns_san,
    pem_to_ders, validity,
};

#[derive(Debug)]
struct At(u64);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

#[test]
fn a_generated_pair_is_as_specified() {
    let born = 1_700_000_000;
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(born);
    let names = vec!["127.0.0.1".to_owned(), "center.example".to_owned(), "::1".to_owned()];
    let server = Identity::generate(&Kind::Server { names }, Curve::P384, "root@center", now).unwrap();
    let der = server.leaf().unwrap();
    let period = validity(&der).unwrap();
    assert_eq!((period.not_before, period.not_after), (born, born + GENERATED_FOR.as_secs()));
    assert_eq!(first_dns_san(&der).as_deref(), Some("center.example"));
    assert_eq!(fingerprint(&der).len(), 64);

    let client = Identity::generate(&Kind::Client, Curve::P384, "root@center", now).unwrap();
    let der = client.leaf().unwrap();
    assert_eq!(first_dns_san(&der), None);
    use x509_cert::der::Decode;
    let certificate = x509_cert::Certificate::from_der(&der).unwrap().tbs_certificate;
    assert_eq!(certificate.subject.to_string(), "CN=root@center,O=Muster");
    assert_eq!(certificate.serial_number.as_bytes().len(), 16);
    let (_, usage) = certificate.get::<x509_cert::ext::pkix::ExtendedKeyUsage>().unwrap().unwrap();
    assert_eq!(usage.0.iter().map(|o| o.to_string()).collect::<Vec<_>>(), ["1.3.6.1.5.5.7.3.2"]);
    let (_, ca) = certificate.get::<x509_cert::ext::pkix::BasicConstraints>().unwrap().unwrap();
    assert!(!ca.ca);
}

#[test]
fn keys_are_checked_and_never_printed() {
    let (a, b) = (identity("a"), identity("b"));
    let mixed = Identity { certificate_pem: a.certificate_pem.clone(), key_pem: b.key_pem.clone() };
    assert!(matches!(mixed.credentials(), Err(TlsError::Mismatch)));
    assert!(a.credentials().is_ok());
    assert!(!format!("{a:?}").contains("PRIVATE"));
}

#[test]
fn pem_goes_both_ways() {
    let pem = identity("a").certificate_pem.replace('\r', "");
    let ders = pem_to_ders(&format!("junk\n{pem}{pem}")).unwrap();
    assert_eq!(ders.len(), 2);
    assert_eq!(der_to_pem(&ders[0]), pem);
    assert!(matches!(pem_to_ders("nothing"), Err(TlsError::NoCertificate)));
}

#[tokio::test]
async fn a_pinned_certificate_is_believed_only_while_it_is_valid() {
    let peer = Peer::start(|_, _| Act::Body(sync("1"))).await;
    let period = validity(&peer.identity.leaf().unwrap()).unwrap();
    let name = rustls::pki_types::ServerName::try_from("sim").unwrap();
    let address = peer.address.trim_start_matches("https://").to_owned();
    let shake = async |at: u64| {
        let config = client_config_at(&peer.trust(), None, Arc::new(At(at))).unwrap();
        let tcp = tokio::net::TcpStream::connect(&address).await.unwrap();
        tokio_rustls::TlsConnector::from(config)
            .connect(name.clone(), tcp)
            .await
            .map(drop)
            .map_err(|e| Failure::handshake(e).to_string())
    };
    assert!(shake(period.not_before).await.is_ok());
    assert!(shake(period.not_after).await.is_ok());
    assert!(shake(period.not_before - 1).await.unwrap_err().ends_with("not valid yet"));
    assert!(shake(period.not_after + 1).await.unwrap_err().ends_with("expired"));
}

#[test]
fn only_https_addresses_are_taken() {
    let trust = crate::tls::Trust::SystemRoots;
    let address = |url: &str| Endpoint::https(url, &trust, None).map(|e| e.address().to_owned());
    assert_eq!(address("https://[fd00::1]:8443").unwrap(), "https://[fd00::1]:8443");
    assert_eq!(address("https://center.example/").unwrap(), "https://center.example:443");
    assert!(address("http://center.example").is_err());
    assert!(address("center.example:443").is_err());
}
