//! What only we refuse, and why.

use std::time::{Duration, SystemTime};

use muster_clients::updates::{Authority, AuthorityError, MESSAGE_LIMIT, VerifyError, verify};

use crate::pki::{CA, P256, Pki, clear, opaque, replace};
use crate::{PAYLOAD, both_accept, only_we_refuse, ours};

#[test]
fn weak_algorithms() {
    let pki = Pki::new();
    let sha1 = pki.sign("signer", "intermediate", PAYLOAD, &["-md", "sha1"]);
    only_we_refuse(&pki, "SHA-1", &sha1, "root", "the digest algorithm 1.3.14.3.2.26 is not accepted");
    pki.certificate("short", Some("intermediate"), "rsa:1024", &[CA]);
    let short = pki.sign("short", "intermediate", PAYLOAD, &[]);
    only_we_refuse(&pki, "RSA with 1024 bits", &short, "root", "the key is too short");
    pki.certificate_with("sha1-ca", Some("root"), P256, &[CA], &["-sha1"]);
    pki.certificate("below", Some("sha1-ca"), P256, &[CA]);
    let message = pki.sign("below", "sha1-ca", PAYLOAD, &[]);
    only_we_refuse(&pki, "a certificate with SHA-1", &message, "root", "the signature algorithm 1.2.840.10045.4.1");
    pki.certificate("curve", Some("intermediate"), "ec:secp256k1", &[CA]);
    let message = pki.sign("curve", "intermediate", PAYLOAD, &[]);
    only_we_refuse(&pki, "another curve", &message, "root", "the kind of key 1.3.132.0.10 is not accepted");
    let pss = ["cms", "-keyopt", "rsa_padding_mode:pss"];
    pki.certificate("rsa", Some("intermediate"), "rsa:2048", &[CA]);
    let message = pki.sign("rsa", "intermediate", PAYLOAD, &pss);
    assert!(
        ours(&pki, &message, "root", pki.now).unwrap_err().contains("the signature algorithm 1.2.840.113549.1.1.10")
    );
}

/// Without them nobody knows when it was signed, and a set of attributes could be passed off as content.
#[test]
fn signatures_without_attributes() {
    let pki = Pki::new();
    let message = pki.sign("signer", "intermediate", PAYLOAD, &["-noattr"]);
    only_we_refuse(&pki, "no attributes", &message, "root", "the signed attribute content type is missing");
}

/// Readers could disagree on what was signed.
#[test]
fn ambiguous_messages() {
    let pki = Pki::new();
    let inside = pki.signature(&pki.sign("signer", "intermediate", PAYLOAD, &["-nodetach"]));
    let content = format!("Content-Type: text/plain\r\n\r\n{}", PAYLOAD.replace('\n', "\r\n"));
    let message = clear(&content, &inside);
    only_we_refuse(&pki, "content beside and inside", &message, "root", "either beside the signature or inside");
    let message = pki.sound();
    let mut der = pki.signature(&message);
    der.extend([0; 3]);
    let trailing = clear(&content, &der);
    only_we_refuse(&pki, "bytes after the structure", &trailing, "root", "something follows after its end");
    let twice = "Content-Type: text/plain\nContent-Type: text/plain\n\n{}\n";
    let message = pki.sign_bytes("signer", "intermediate", twice.as_bytes(), &[]);
    only_we_refuse(&pki, "two content types", &message, "root", "the signed content has no Content-Type, or several");
    let text = String::from_utf8(pki.sound()).unwrap();
    let boundary = text.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let longer = text.replacen(&format!("\n--{boundary}\n"), &format!("\n--{boundary}more\n"), 1);
    only_we_refuse(&pki, "a longer boundary", longer.as_bytes(), "root", "goes on otherwise");
}

#[test]
fn certificates_with_constraints_that_are_not_looked_at() {
    let pki = Pki::new();
    pki.certificate("constrained", Some("root"), P256, &[CA, "nameConstraints=permitted;email:example.org"]);
    pki.certificate("below", Some("constrained"), P256, &[CA]);
    let message = pki.sign("below", "constrained", PAYLOAD, &[]);
    only_we_refuse(&pki, "name constraints", &message, "root", "the extension 2.5.29.30");
    pki.certificate("netscape", Some("intermediate"), P256, &["nsCertType=email"]);
    let message = pki.sign("netscape", "intermediate", PAYLOAD, &[]);
    only_we_refuse(&pki, "a Netscape type", &message, "root", "the extension 2.16.840.1.113730.1.1");
}

#[test]
fn signers_that_the_pinned_intermediate_did_not_issue() {
    let pki = Pki::new();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(pki.now).unwrap());
    // As the publisher's own Secure Boot certificates: below the root, and not for updates.
    pki.certificate("secure-boot", Some("root"), P256, &[CA]);
    pki.certificate("secure-boot-signer", Some("secure-boot"), P256, &[CA]);
    let message = pki.sign("secure-boot-signer", "secure-boot+intermediate", PAYLOAD, &[]);
    both_accept(&pki, "not pinned", &message, "root");
    let root = pki.pem("root");
    let pin = |name: &str| {
        let der = pki.run(&["x509", "-in", &format!("{name}.pem"), "-outform", "DER"], b"");
        Authority::new(&root, Some(&muster_clients::tls::fingerprint(&der))).unwrap()
    };
    let error = verify(&message, &pin("intermediate"), now).unwrap_err();
    assert!(error.to_string().contains("the pinned intermediate certificate did not issue"), "{error}");
    assert!(verify(&message, &pin("secure-boot"), now).is_ok());
    assert!(verify(&pki.sound(), &pin("intermediate"), now).is_ok());
    // Neither the signer nor the root is an intermediate.
    for name in ["signer", "root"] {
        assert!(matches!(verify(&pki.sound(), &pin(name), now), Err(VerifyError::Chain(_))), "{name}");
    }
}

#[test]
fn authorities_that_are_none() {
    let pki = Pki::new();
    assert!(matches!(Authority::new("hello", None), Err(AuthorityError::Pem(_))));
    assert!(matches!(Authority::new(&pki.pem("intermediate"), None), Err(AuthorityError::NoRoot)));
    for pin in ["", "ab", &"x".repeat(64)] {
        assert!(matches!(Authority::new(&pki.pem("root"), Some(pin)), Err(AuthorityError::Pin(_))), "{pin}");
    }
}

/// Sizes and counts, whoever signed.
#[test]
fn huge_messages() {
    let pki = Pki::new();
    let authority = Authority::new(&pki.pem("root"), None).unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(pki.now).unwrap());
    let huge = vec![b'x'; MESSAGE_LIMIT + 1];
    assert_eq!(verify(&huge, &authority, now), Err(VerifyError::TooLarge(MESSAGE_LIMIT + 1)));
    // Of a size that is read, the content may be nearly all.
    let content = format!("{{\"x\":\"{}\"}}\n", "y".repeat(8 << 20));
    for more in [&[][..], &["-nodetach"]] {
        let message = pki.sign("signer", "intermediate", &content, more);
        both_accept(&pki, &format!("8 MiB {more:?}"), &message, "root");
    }
    for count in 0..17 {
        pki.certificate(&format!("more{count}"), Some("root"), P256, &[CA]);
    }
    let all: Vec<String> = (0..17).map(|n| format!("more{n}")).collect();
    let message = pki.sign("signer", &format!("intermediate+{}", all.join("+")), PAYLOAD, &[]);
    only_we_refuse(&pki, "many certificates", &message, "root", "it has 19 certificates, and at most 16");
    let signers: Vec<String> = (0..4)
        .flat_map(|n| ["-signer".to_owned(), format!("more{n}.pem"), "-inkey".to_owned(), format!("more{n}.key")])
        .collect();
    let signers: Vec<&str> = signers.iter().map(String::as_str).collect();
    let message = pki.sign("signer", "intermediate", PAYLOAD, &signers);
    only_we_refuse(&pki, "many signers", &message, "root", "it has 5 signers, and at most 4");
    // A structure of megabytes besides the content is not looked into.
    let certificates = pki.pem("root").repeat(5_000);
    std::fs::write(pki.path("many.pem"), certificates).unwrap();
    let many = pki.run(&["crl2pkcs7", "-nocrl", "-certfile", "many.pem", "-outform", "DER"], b"");
    let error = verify(&opaque(&many), &authority, now).unwrap_err().to_string();
    assert!(error.contains("besides the content"), "{error}");
    let nested = opaque(&[0x30, 0x80].repeat(1 << 20));
    assert!(verify(&nested, &authority, now).unwrap_err().to_string().contains("nested deeper"));
}

/// Chains that lead in circles or fan out end soon.
#[test]
fn certificates_that_sign_each_other() {
    let pki = Pki::new();
    let forger = Pki::new();
    // Twelve of one name and key identifier that all could have signed each other.
    forger.certificate("loop", None, P256, &[CA]);
    let mut along = Vec::new();
    for n in 0..12 {
        let name = format!("loop{n}");
        std::fs::copy(forger.path("loop.key"), forger.path("shared.key")).unwrap();
        let more = ["-key", "shared.key", "-subj", "/O=test/CN=loop", "-set_serial", &n.to_string()].map(str::to_owned);
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let mut arguments = vec!["req", "-x509", "-config", "req.cnf", "-days", "9", "-out"];
        let out = format!("{name}.pem");
        arguments.extend([out.as_str(), "-addext", CA, "-addext", "subjectKeyIdentifier=hash"]);
        arguments.extend(more);
        forger.run(&arguments, b"");
        along.push(name);
    }
    forger.certificate("end", Some("loop"), P256, &[CA]);
    let message = forger.sign("end", &along.join("+"), PAYLOAD, &[]);
    let error = ours(&pki, &message, "root", pki.now).unwrap_err();
    assert!(error.contains("too many certificates could have signed each other"), "{error}");
    assert!(pki.oracle(&message, "root", pki.now).is_err());
}

/// A message is read as a whole or not at all: no change of a single byte gives another content.
#[test]
fn no_single_byte_changes_the_content() {
    let pki = Pki::new();
    let message = pki.sound();
    let good = ours(&pki, &message, "root", pki.now).unwrap().payload;
    for at in 0..message.len() {
        for bit in [1, 2, 4, 32] {
            let mut changed = message.clone();
            changed[at] ^= bit;
            if let Ok(verified) = ours(&pki, &changed, "root", pki.now) {
                assert_eq!(verified.payload, good, "byte {at}");
            }
        }
    }
    let renamed = replace(&message, "\"1.0\"", "\"9.0\"");
    assert!(ours(&pki, &renamed, "root", pki.now).is_err());
}
