//! What both accept.

use std::time::{Duration, SystemTime};

use muster_clients::updates::{Authority, verify};

use crate::pki::{CA, P256, Pki, opaque, replace};
use crate::{PAYLOAD, both_accept, payload_crlf};

#[test]
fn both_encodings_with_all_keys_and_digests() {
    let pki = Pki::new();
    for (key, digest) in [
        (P256, "sha256"),
        (P256, "sha384"),
        (P256, "sha512"),
        ("ec:secp384r1", "sha256"),
        ("ec:secp384r1", "sha384"),
        ("ec:secp521r1", "sha512"),
        ("rsa:2048", "sha256"),
        ("rsa:3072", "sha384"),
        ("rsa:2048", "sha512"),
    ] {
        pki.certificate("other", Some("intermediate"), key, &[CA]);
        for more in [&[][..], &["-nodetach"], &["-nodetach", "-stream"], &["cms"], &["cms", "-nodetach", "-stream"]] {
            let arguments = [&["-md", digest], more].concat();
            let message = pki.sign("other", "intermediate", PAYLOAD, &arguments);
            both_accept(&pki, &format!("{key} {digest} {more:?}"), &message, "root");
        }
    }
}

#[test]
fn chains_of_any_sound_shape() {
    let pki = Pki::new();
    pki.certificate("direct", Some("root"), P256, &[CA]);
    pki.certificate(
        "mail",
        Some("intermediate"),
        P256,
        &["extendedKeyUsage=emailProtection", "keyUsage=digitalSignature"],
    );
    pki.certificate("both", Some("intermediate"), P256, &["extendedKeyUsage=serverAuth,emailProtection"]);
    pki.certificate("repudiation", Some("intermediate"), P256, &["keyUsage=critical,nonRepudiation"]);
    pki.certificate("plain", Some("intermediate"), P256, &["basicConstraints=CA:FALSE"]);
    pki.certificate("policies", Some("intermediate"), P256, &["certificatePolicies=critical,1.2.3.4"]);
    pki.certificate("unknown", Some("intermediate"), P256, &["1.2.3.4.5=ASN1:UTF8String:x"]);
    pki.certificate("other-root", None, "rsa:2048", &[CA]);
    pki.certificate("limited", Some("root"), P256, &["basicConstraints=CA:TRUE,pathlen:0", "keyUsage=keyCertSign"]);
    pki.certificate("below-limited", Some("limited"), P256, &["basicConstraints=CA:FALSE"]);
    for (name, along, roots) in [
        ("direct", "", "root"),
        ("mail", "intermediate", "root"),
        ("both", "intermediate", "root"),
        ("repudiation", "intermediate", "root"),
        ("plain", "intermediate", "root"),
        ("policies", "intermediate", "root"),
        ("unknown", "intermediate", "root"),
        ("below-limited", "limited", "root"),
        // Another root may stand before the right one, the root may come along, and so may what nobody needs.
        ("signer", "intermediate", "other-root+root"),
        ("signer", "intermediate+root+other-root", "root"),
        // An intermediate that is configured need not come along.
        ("signer", "", "root+intermediate"),
        // Whoever is a root may sign.
        ("root", "", "root"),
    ] {
        let message = pki.sign(name, along, PAYLOAD, &[]);
        both_accept(&pki, &format!("{name} with {along}, below {roots}"), &message, roots);
    }
}

#[test]
fn several_signers_when_all_are_good() {
    let pki = Pki::new();
    pki.certificate("second", Some("root"), "rsa:2048", &[CA]);
    let more = ["-signer", "second.pem", "-inkey", "second.key"];
    both_accept(&pki, "two signers", &pki.sign("signer", "intermediate", PAYLOAD, &more), "root");
}

#[test]
fn envelopes_of_any_sound_shape() {
    let pki = Pki::new();
    let message = pki.sound();
    let text = String::from_utf8(message.clone()).unwrap();
    let line_ends = text.replace("\r\n", "\n").replace('\n', "\r\n");
    let opaque_message = pki.sign("signer", "intermediate", PAYLOAD, &["-nodetach"]);
    for (name, message) in [
        ("CRLF throughout", line_ends.clone().into_bytes()),
        ("LF throughout", line_ends.replace("\r\n", "\n").into_bytes()),
        ("CR CR LF throughout", line_ends.replace("\r\n", "\r\r\n").into_bytes()),
        ("more in the preamble", replace(&message, "This is an", "\nContent-Type: x\n\nThis is an")),
        ("something after the end", [message.as_slice(), b"\nthe end\n--nothing\n"].concat()),
        ("the other name of the type", replace(&message, "x-pkcs7-signature; name", "pkcs7-signature; name")),
        ("capitals", replace(&message, "Content-Type: multipart/signed", "content-TYPE: Multipart/Signed")),
        ("opaque, the other name", replace(&opaque_message, "application/x-pkcs7-mime", "application/pkcs7-mime")),
        ("opaque, by hand", opaque(&pki.signature(&opaque_message))),
    ] {
        both_accept(&pki, name, &message, "root");
    }
}

#[test]
fn content_with_more_headers_and_odd_lines() {
    let pki = Pki::new();
    let header = "X-First: 1\nContent-Type: text/plain; charset=utf-8\nX-Last:\n folded\n\n";
    for (name, content) in [
        ("more headers", format!("{header}{PAYLOAD}")),
        ("no line end at the end", format!("{header}{}", PAYLOAD.trim_end())),
        ("empty lines at the end", format!("{header}{PAYLOAD}\n\n\n")),
        ("blanks before line ends", format!("{header}{}", PAYLOAD.replace('\n', "  \t\n"))),
        ("a line that looks like a boundary", format!("{header}{PAYLOAD}----\n--B\n")),
        ("one long line", format!("{header}{{{}}}\n", " ".repeat(100_000))),
        ("not ASCII", format!("{header}{{\"ä\": \"☃\"}}\n")),
    ] {
        for more in [&[][..], &["-nodetach"]] {
            let message = pki.sign_bytes("signer", "intermediate", content.as_bytes(), more);
            both_accept(&pki, &format!("{name} {more:?}"), &message, "root");
        }
    }
}

#[test]
fn an_answer_says_what_was_signed_by_whom() {
    let pki = Pki::new();
    let root = pki.pem("root");
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(pki.now).unwrap());
    // One message for both questions: another one may be signed a second later.
    let message = pki.sound();
    let verified = verify(&message, &Authority::new(&root, None).unwrap(), now).unwrap();
    assert_eq!(verified.payload, payload_crlf());
    assert_eq!(verified.signer, "CN=signer,O=test");
    let fingerprint = |name: &str| {
        let text = pki.run(&["x509", "-in", &format!("{name}.pem"), "-noout", "-fingerprint", "-sha256"], b"");
        String::from_utf8(text).unwrap().trim().split_once('=').unwrap().1.to_owned()
    };
    let plain = |name: &str| fingerprint(name).replace(':', "").to_lowercase();
    assert_eq!(verified.chain, [plain("signer"), plain("intermediate"), plain("root")]);
    // As openssl prints it, with colons and capitals.
    let pinned = Authority::new(&root, Some(&fingerprint("intermediate"))).unwrap();
    assert_eq!(verify(&message, &pinned, now).unwrap(), verified);
}
