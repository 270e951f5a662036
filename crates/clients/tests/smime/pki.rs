//! Certificates and messages made by the real `openssl` command.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// A directory of certificates: `name.pem` and `name.key` for each.
pub struct Pki {
    directory: tempfile::TempDir,
    /// An hour from now, in seconds since the epoch: all certificates that a test makes are valid then.
    pub now: i64,
}

const HOUR: i64 = 3600;
pub const CA: &str = "basicConstraints=critical,CA:TRUE";
pub const P256: &str = "ec:prime256v1";

impl Pki {
    /// With `root`, `intermediate` below it and `signer` below that, as in production: all of them CAs on P-256.
    #[expect(clippy::disallowed_methods, reason = "certificates of the openssl command begin now")]
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let pki = Self { directory: tempfile::tempdir().unwrap(), now: i64::try_from(now).unwrap() + HOUR };
        pki.certificate("root", None, P256, &[CA]);
        pki.certificate("intermediate", Some("root"), P256, &[CA]);
        pki.certificate("signer", Some("intermediate"), P256, &[CA]);
        pki
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs `openssl` in the directory.
    pub fn openssl(&self, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
        let mut child = Command::new("openssl")
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("these tests need the openssl command");
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            // It may refuse before it has read all.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    pub fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        self.openssl(arguments, input).unwrap_or_else(|e| panic!("openssl {arguments:?}: {e}"))
    }

    /// Makes a certificate, valid for ten years, with exactly these extensions and key identifiers.
    pub fn certificate(&self, name: &str, issuer: Option<&str>, key: &str, extensions: &[&str]) {
        self.certificate_with(name, issuer, key, extensions, &[]);
    }

    /// The same with more arguments; the last of an argument counts.
    pub fn certificate_with(&self, name: &str, issuer: Option<&str>, key: &str, extensions: &[&str], more: &[&str]) {
        std::fs::write(self.path("req.cnf"), "[req]\ndistinguished_name=dn\n[dn]\n").unwrap();
        let (pem, key_file, subject) = (format!("{name}.pem"), format!("{name}.key"), format!("/O=test/CN={name}"));
        let mut arguments = vec!["req", "-x509", "-config", "req.cnf", "-nodes", "-days", "3650", "-sha256"];
        arguments.extend(["-subj", &subject, "-keyout", &key_file, "-out", &pem]);
        let curve;
        match key.split_once(':') {
            Some(("ec", name)) => {
                curve = format!("ec_paramgen_curve:{name}");
                arguments.extend(["-newkey", "ec", "-pkeyopt", &curve]);
            }
            _ => arguments.extend(["-newkey", key]),
        }
        let (issuer_pem, issuer_key);
        if let Some(issuer) = issuer {
            (issuer_pem, issuer_key) = (format!("{issuer}.pem"), format!("{issuer}.key"));
            arguments.extend(["-CA", &issuer_pem, "-CAkey", &issuer_key]);
        }
        for extension in extensions.iter().chain(&["subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid"]) {
            arguments.extend(["-addext", extension]);
        }
        arguments.extend(more);
        self.run(&arguments, b"");
    }

    /// The certificates of these names, separated by `+`, as one PEM text.
    pub fn pem(&self, names: &str) -> String {
        names.split('+').map(|name| std::fs::read_to_string(self.path(&format!("{name}.pem"))).unwrap()).collect()
    }

    /// Signs as the publisher does, with what is given besides; `more` may begin with `cms` instead of `smime`.
    pub fn sign(&self, signer: &str, along: &str, content: &str, more: &[&str]) -> Vec<u8> {
        self.sign_bytes(signer, along, content.as_bytes(), &[&["-text"], more].concat())
    }

    pub fn sign_bytes(&self, signer: &str, along: &str, content: &[u8], more: &[&str]) -> Vec<u8> {
        let (pem, key) = (format!("{signer}.pem"), format!("{signer}.key"));
        let (command, more) = match more.iter().position(|word| *word == "cms") {
            Some(at) => ("cms", [&more[..at], &more[at + 1..]].concat()),
            None => ("smime", more.to_vec()),
        };
        let mut arguments = vec![command, "-sign", "-signer", &pem, "-inkey", &key];
        if !more.contains(&"-md") {
            arguments.extend(["-md", "sha256"]);
        }
        if !along.is_empty() {
            std::fs::write(self.path("along.pem"), self.pem(along)).unwrap();
            arguments.extend(["-certfile", "along.pem"]);
        }
        arguments.extend(more);
        self.run(&arguments, content)
    }

    /// As the publisher signs: clear, with the intermediate.
    pub fn sound(&self) -> Vec<u8> {
        self.sign("signer", "intermediate", super::PAYLOAD, &[])
    }

    /// The structure of a message's signature, in DER.
    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        use base64::Engine as _;
        let pem = String::from_utf8(self.run(&["smime", "-pk7out"], message)).unwrap();
        let digits: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        base64::engine::general_purpose::STANDARD.decode(digits).unwrap()
    }

    /// What the reference does: the content, or what `openssl` says.
    pub fn oracle(&self, message: &[u8], roots: &str, at: i64) -> Result<Vec<u8>, String> {
        std::fs::write(self.path("roots.pem"), self.pem(roots)).unwrap();
        let at = at.to_string();
        let only = ["-no-CApath", "-no-CAstore"];
        self.openssl(
            &[&["smime", "-verify", "-text", "-CAfile", "roots.pem", "-attime", &at], &only[..]].concat(),
            message,
        )
    }
}

/// Replaces the first occurrence; it has to be there.
pub fn replace(message: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = message.windows(from.len()).position(|w| w == from.as_bytes()).unwrap_or_else(|| panic!("no {from:?}"));
    [&message[..at], to.as_bytes(), &message[at + from.len()..]].concat()
}

/// A clear-signed message of these parts.
pub fn clear(content: &str, signature: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let signature = base64::engine::general_purpose::STANDARD.encode(signature);
    let lines: Vec<&str> = signature.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let kind = "application/x-pkcs7-signature";
    format!(
        "MIME-Version: 1.0\nContent-Type: multipart/signed; protocol=\"{kind}\"; micalg=\"sha-256\"; boundary=\"--B\"\n\n\
         ----B\n{content}\n----B\nContent-Type: {kind}\nContent-Transfer-Encoding: base64\n\n{}\n\n----B--\n",
        lines.join("\n")
    )
    .into_bytes()
}

/// An opaque message.
pub fn opaque(signature: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let signature = base64::engine::general_purpose::STANDARD.encode(signature);
    let lines: Vec<&str> = signature.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("Content-Type: application/x-pkcs7-mime; smime-type=signed-data\n\n{}\n", lines.join("\n")).into_bytes()
}
