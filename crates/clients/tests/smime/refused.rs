//! What both refuse: forged, altered, broken.

use crate::pki::{CA, P256, Pki, clear, opaque, replace};
use crate::{PAYLOAD, both_refuse, both_refuse_at};

const YEAR: i64 = 365 * 86_400;
const TEXT: &str = "Content-Type: text/plain\r\n\r\n";

#[test]
fn signers_below_another_root() {
    let pki = Pki::new();
    let forger = Pki::new();
    let untrusted = "no way leads from";
    both_refuse(&pki, "another authority with the same names", &forger.sound(), "root", untrusted);
    both_refuse(&pki, "intermediate missing", &pki.sign("signer", "", PAYLOAD, &[]), "root", untrusted);
    pki.certificate("alone", None, P256, &[CA]);
    both_refuse(&pki, "self-signed", &pki.sign("alone", "", PAYLOAD, &[]), "root", untrusted);
    both_refuse(&pki, "self-signed, root along", &pki.sign("alone", "root", PAYLOAD, &[]), "root", untrusted);
    both_refuse(&pki, "an intermediate as root", &pki.sound(), "intermediate", "none of the certificates is a root");
    let none = pki.sign("signer", "intermediate", PAYLOAD, &["-nocerts"]);
    both_refuse(&pki, "without certificates", &none, "root", "the certificate of the signer");
    // Same issuer and serial number as the good one, made by the forger.
    pki.certificate_with("numbered", Some("root"), P256, &[CA], &["-set_serial", "77"]);
    forger.certificate_with("numbered", Some("root"), P256, &[CA], &["-set_serial", "77"]);
    let forged = forger.sign("numbered", "", PAYLOAD, &[]);
    both_refuse(&pki, "the same serial number", &forged, "root", untrusted);
}

#[test]
fn certificates_out_of_time() {
    let pki = Pki::new();
    pki.certificate_with("short", Some("root"), P256, &[CA], &["-days", "30"]);
    pki.certificate("below-short", Some("short"), P256, &[CA]);
    pki.certificate_with("short-signer", Some("intermediate"), P256, &[CA], &["-days", "30"]);
    pki.certificate_with("short-root", None, P256, &[CA], &["-days", "30"]);
    pki.certificate("below-short-root", Some("short-root"), P256, &[CA]);
    let later = pki.now + YEAR;
    let cases = [
        ("short-signer", "intermediate", "root", later, "\"CN=short-signer,O=test\" has expired"),
        ("below-short", "short", "root", later, "\"CN=short,O=test\" has expired"),
        ("below-short-root", "", "short-root", later, "\"CN=short-root,O=test\" has expired"),
        ("signer", "intermediate", "root", pki.now + 11 * YEAR, "\"CN=signer,O=test\" has expired"),
        ("signer", "intermediate", "root", pki.now - YEAR, "\"CN=signer,O=test\" is not valid yet"),
    ];
    for (signer, along, root, at, text) in cases {
        let message = pki.sign(signer, along, PAYLOAD, &[]);
        both_refuse_at(&pki, &format!("{signer} at {at}"), &message, root, at, text);
    }
}

#[test]
fn certificates_for_other_purposes() {
    let pki = Pki::new();
    let intermediates = [
        ("no-ca", "basicConstraints=CA:FALSE", "it is no CA"),
        ("no-constraints", "keyUsage=digitalSignature", "it is no CA"),
        ("no-certificates", "keyUsage=critical,cRLSign", "it is no CA"),
        ("server-ca", "extendedKeyUsage=serverAuth", "e-mail protection"),
    ];
    for (name, extension, text) in intermediates {
        let extensions = if name == "server-ca" { vec![CA, extension] } else { vec![extension] };
        pki.certificate(name, Some("root"), P256, &extensions);
        pki.certificate("below", Some(name), P256, &[CA]);
        both_refuse(&pki, name, &pki.sign("below", name, PAYLOAD, &[]), "root", text);
    }
    pki.certificate("no-signing-ca", Some("root"), P256, &[CA, "keyUsage=critical,digitalSignature"]);
    pki.certificate("below", Some("no-signing-ca"), P256, &[CA]);
    let message = pki.sign("below", "no-signing-ca", PAYLOAD, &[]);
    both_refuse(&pki, "no-signing-ca", &message, "root", "certificate signing");
    pki.certificate("limited", Some("root"), P256, &["basicConstraints=critical,CA:TRUE,pathlen:0"]);
    pki.certificate("too-deep", Some("limited"), P256, &[CA]);
    pki.certificate("below", Some("too-deep"), P256, &[CA]);
    let message = pki.sign("below", "limited+too-deep", PAYLOAD, &[]);
    both_refuse(&pki, "path length", &message, "root", "limits how many intermediates");
    for (name, extension, text) in [
        ("server", "extendedKeyUsage=serverAuth", "e-mail protection"),
        ("any", "extendedKeyUsage=anyExtendedKeyUsage", "e-mail protection"),
        ("code", "extendedKeyUsage=critical,codeSigning", "e-mail protection"),
        ("encipher", "keyUsage=keyEncipherment", "digital signature"),
        ("ca-only", "keyUsage=critical,keyCertSign,cRLSign", "digital signature"),
        ("critical", "1.2.3.4.5=critical,ASN1:UTF8String:x", "the extension 1.2.3.4.5"),
    ] {
        pki.certificate(name, Some("intermediate"), P256, &[extension]);
        both_refuse(&pki, name, &pki.sign(name, "intermediate", PAYLOAD, &[]), "root", text);
    }
}

#[test]
fn content_changed_after_it_was_signed() {
    let pki = Pki::new();
    let message = pki.sound();
    let changed = "the content was changed";
    for (name, from, to) in [
        ("a changed byte", "\"1.0\"", "\"1.1\""),
        ("a line more", "}\r\n", "}\r\n\r\n"),
        ("a line less", "}\r\n", "}"),
        ("a blank at the end of a line", "[]\r\n", "[] \r\n"),
        ("CR within a line", "\"format\":", "\"format\":\r"),
        ("a header more", "Content-Type: text/plain\r\n", "Content-Type: text/plain\r\nX: y\r\n"),
        ("another parameter", "Content-Type: text/plain", "Content-Type: text/plain;x=y"),
        ("case of a header", "Content-Type: text/plain", "content-type: text/plain"),
    ] {
        both_refuse(&pki, name, &replace(&message, from, to), "root", changed);
    }
    let signature = pki.signature(&message);
    both_refuse(&pki, "other content", &clear(&format!("{TEXT}{{}}"), &signature), "root", changed);
    let opaque_message = pki.sign("signer", "intermediate", PAYLOAD, &["-nodetach"]);
    let mut der = pki.signature(&opaque_message);
    let at = der.windows(7).position(|w| w == b"updates").unwrap();
    der[at] = b'U';
    both_refuse(&pki, "opaque, a changed byte", &opaque(&der), "root", changed);
}

#[test]
fn signatures_changed_or_of_another_kind() {
    let pki = Pki::new();
    let message = pki.sound();
    let der = pki.signature(&message);
    let content = format!("{TEXT}{}", PAYLOAD.trim_end_matches('\n').replace('\n', "\r\n") + "\r\n");
    both_refuse_bytes(&pki, &content, &der);
    let mut forged = der.clone();
    // The last byte of the signature value.
    let last = forged.len() - 1;
    forged[last] ^= 1;
    both_refuse(&pki, "a changed signature", &clear(&content, &forged), "root", "the signature");
    let attribute = der.windows(11).position(|w| w == b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x05\x31\x0f").unwrap();
    let mut later = der.clone();
    later[attribute + 14] ^= 1;
    both_refuse(&pki, "another time of signing", &clear(&content, &later), "root", "the signature");
    pki.certificate("mine", None, P256, &[CA]);
    let more = ["-signer", "mine.pem", "-inkey", "mine.key"];
    let two = pki.sign("signer", "intermediate", PAYLOAD, &more);
    both_refuse(&pki, "a second signer of another authority", &two, "root", "no way leads from");
    let keyid = pki.sign("signer", "intermediate", PAYLOAD, &["cms", "-keyid"]);
    both_refuse(&pki, "signer by key identifier", &keyid, "root", "issuer and serial number");
    pki.certificate("rsa", Some("intermediate"), "rsa:2048", &[CA]);
    let encrypted = pki.run(&["smime", "-encrypt", "-aes256", "rsa.pem"], PAYLOAD.as_bytes());
    both_refuse(&pki, "encrypted", &encrypted, "root", "where signed data is expected");
    let digested = pki.run(&["cms", "-digest_create", "-md", "sha256", "-nodetach"], PAYLOAD.as_bytes());
    both_refuse(&pki, "digested", &digested, "root", "where signed data is expected");
    let kind = ["cms", "-nodetach", "-econtent_type", "pkcs7-signedData"];
    let nested = pki.sign("signer", "intermediate", PAYLOAD, &kind);
    both_refuse(&pki, "content of another type", &nested, "root", "where plain data is expected");
    let nobody = pki.run(&["crl2pkcs7", "-nocrl", "-certfile", "signer.pem", "-outform", "DER"], b"");
    both_refuse(&pki, "certificates only", &clear(&content, &nobody), "root", "nobody signed it");
    both_refuse(&pki, "opaque without content", &opaque(&der), "root", "either beside the signature or inside");
}

/// So that the content used above is the signed one.
fn both_refuse_bytes(pki: &Pki, content: &str, der: &[u8]) {
    crate::both_accept(pki, "the same content and signature", &clear(content, der), "root");
    let less = content.trim_end();
    both_refuse(pki, "without its last line end", &clear(less, der), "root", "the content was changed");
}

#[test]
fn content_that_is_no_text() {
    let pki = Pki::new();
    for (name, content, text) in [
        ("no header", PAYLOAD.to_owned(), "the signed content has no headers"),
        ("another type", format!("Content-Type: text/html\n\n{PAYLOAD}"), "the signed content is of type"),
        ("JSON", format!("Content-Type: application/json\n\n{PAYLOAD}"), "the signed content is of type"),
        ("another header", format!("X-Type: text/plain\n\n{PAYLOAD}"), "the signed content has no Content-Type"),
        ("a message", String::from_utf8(pki.sound()).unwrap(), "the signed content is of type"),
        ("nothing", String::new(), "the signed content has no headers"),
    ] {
        for more in [&[][..], &["-nodetach"]] {
            let message = pki.sign_bytes("signer", "intermediate", content.as_bytes(), more);
            both_refuse(&pki, &format!("{name} {more:?}"), &message, "root", text);
        }
    }
}

#[test]
fn envelopes_broken_or_of_another_kind() {
    let pki = Pki::new();
    let message = pki.sound();
    let text = String::from_utf8(message.clone()).unwrap();
    let boundary = text.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let part = format!("--{boundary}\n");
    let signature_part = text.rfind(&part).unwrap();
    let (first, second) = text.split_at(signature_part);
    let content_part = &first[first.find(&part).unwrap()..];
    let start = &first[..first.find(&part).unwrap()];
    for (name, message, expected) in [
        ("empty", Vec::new(), "has no headers"),
        ("JSON", PAYLOAD.as_bytes().to_vec(), "has no headers"),
        ("another multipart", replace(&message, "multipart/signed", "multipart/mixed"), "expected is multipart/signed"),
        ("no boundary", replace(&message, "boundary=", "bound="), "no usable boundary"),
        ("another boundary", replace(&message, "boundary=\"", "boundary=\"x"), "breaks off"),
        ("an extra part", [start, content_part, content_part, second].concat().into_bytes(), "has 3 parts"),
        ("parts swapped", swapped(&boundary, content_part, second), "the signature is of type"),
        ("content only", format!("{start}{content_part}--{boundary}--\n").into_bytes(), "has 1 parts"),
        ("signature only", format!("{start}{second}").into_bytes(), "has 1 parts"),
        (
            "signature of another type",
            replace(&message, "x-pkcs7-signature; name", "zip; name"),
            "the signature is of type",
        ),
        ("not closed", text.trim_end().strip_suffix("--").unwrap().as_bytes().to_vec(), ""),
        ("opaque, no Base64", b"Content-Type: application/x-pkcs7-mime\n\n????\n".to_vec(), "not in Base64"),
        ("opaque, empty", b"Content-Type: application/x-pkcs7-mime\n\n\n".to_vec(), "breaks off"),
        ("opaque, text", b"Content-Type: application/x-pkcs7-mime\n\naGVsbG8gd29ybGQK\n".to_vec(), "cannot be read"),
        ("a message in itself", opaque(&message), "cannot be read"),
    ] {
        both_refuse(&pki, name, &message, "root", expected);
    }
}

fn swapped(boundary: &str, content: &str, signature: &str) -> Vec<u8> {
    let signature = signature.replace(&format!("--{boundary}--"), "");
    format!("Content-Type: multipart/signed; boundary=\"{boundary}\"\n\n{signature}\n{content}--{boundary}--\n")
        .into_bytes()
}

#[test]
fn messages_cut_off_anywhere() {
    let pki = Pki::new();
    for more in [&[][..], &["-nodetach"]] {
        let message = pki.sign("signer", "intermediate", PAYLOAD, more);
        let end = message.trim_ascii_end().len();
        // Opaque ones: without less than the last few digits the structure is complete for the oracle.
        for part in 1..40 {
            let cut = &message[..end * part / 40];
            both_refuse(&pki, &format!("cut at {part}/40 {more:?}"), cut, "root", "");
        }
    }
}
