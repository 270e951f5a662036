//! The way from a signer to a root. Written by hand because signers of updates are CA certificates, which the usual
//! checkers refuse as signers (`updates-and-system.md` 9, rule 6).

use std::time::SystemTime;

use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier as Oid;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier,
};

use super::Authority;
use super::algorithm::{AlgorithmError, verify_certificate};
use crate::tls::fingerprint;

/// Longest way, signer and root counted.
const DEPTH_LIMIT: usize = 8;
/// Most signatures that are verified in the search for a way.
const TRIES_LIMIT: usize = 64;

const EMAIL_PROTECTION: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.3.4");
const SUBJECT_ALT_NAME: Oid = Oid::new_unwrap("2.5.29.17");
const NAME_CONSTRAINTS: Oid = Oid::new_unwrap("2.5.29.30");
const CERTIFICATE_POLICIES: Oid = Oid::new_unwrap("2.5.29.32");
const BASIC_CONSTRAINTS: Oid = Oid::new_unwrap("2.5.29.19");
const KEY_USAGE: Oid = Oid::new_unwrap("2.5.29.15");
const EXTENDED_KEY_USAGE: Oid = Oid::new_unwrap("2.5.29.37");
const NETSCAPE_TYPE: Oid = Oid::new_unwrap("2.16.840.1.113730.1.1");

/// Critical extensions that are looked at, or that say nothing about trust.
const UNDERSTOOD: [Oid; 5] = [BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE, SUBJECT_ALT_NAME, CERTIFICATE_POLICIES];

/// Why a signer is not trusted. `certificate` is the subject of the one that is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No way to a root.
    #[error(
        "no way leads from {certificate:?} to a trusted root: an intermediate is missing in the document, or it was \
         signed below another root than the configured one"
    )]
    Untrusted {
        /// Whose issuer was not found, or did not sign it.
        certificate: String,
    },
    /// Too many possible ways.
    #[error("too many certificates could have signed each other")]
    TooManyWays,
    /// Before its time.
    #[error("the certificate {certificate:?} is not valid yet: compare the clock of this system")]
    NotYetValid {
        /// Which.
        certificate: String,
    },
    /// After its time.
    #[error("the certificate {certificate:?} has expired: the publisher has to sign with a newer one")]
    Expired {
        /// Which.
        certificate: String,
    },
    /// Not made for this.
    #[error("the certificate {certificate:?} must not be used for this: {why}")]
    Purpose {
        /// Which.
        certificate: String,
        /// What it is not for.
        why: &'static str,
    },
    /// An extension that cannot be read, or that is critical and not understood.
    #[error("the certificate {certificate:?} has the extension {oid}, which is not understood")]
    Extension {
        /// Which.
        certificate: String,
        /// Its number.
        oid: String,
    },
    /// An algorithm that is not accepted.
    #[error("the certificate {certificate:?}: {cause}")]
    Algorithm {
        /// Which.
        certificate: String,
        /// Why.
        cause: AlgorithmError,
    },
    /// The pinned intermediate is not on the way.
    #[error("the pinned intermediate certificate did not issue the signer {certificate:?}")]
    NotPinned {
        /// Which.
        certificate: String,
    },
}

fn name(certificate: &Certificate) -> String {
    certificate.tbs_certificate.subject.to_string().chars().take(200).collect()
}

/// Finds a good way from `signer` to a root. The first is the signer, the last the root.
pub(super) fn find<'a>(
    signer: &'a Certificate,
    offered: &'a [Certificate],
    authority: &'a Authority,
    now: SystemTime,
) -> Result<Vec<&'a Certificate>, ChainError> {
    let mut search = Search { offered, authority, now, tries: 0, error: None };
    match search.onward(&mut vec![signer]) {
        Some(way) => Ok(way),
        None => Err(search.error.unwrap_or_else(|| ChainError::Untrusted { certificate: name(signer) })),
    }
}

struct Search<'a> {
    offered: &'a [Certificate],
    authority: &'a Authority,
    now: SystemTime,
    tries: usize,
    /// Why the best way so far was refused.
    error: Option<ChainError>,
}

impl<'a> Search<'a> {
    fn onward(&mut self, way: &mut Vec<&'a Certificate>) -> Option<Vec<&'a Certificate>> {
        let last = *way.last()?;
        if self.authority.roots.contains(last) {
            return self.checked(way);
        }
        if way.len() >= DEPTH_LIMIT {
            return None;
        }
        let candidates = self.authority.roots.iter().chain(&self.authority.others).chain(self.offered);
        let mut found = false;
        for issuer in candidates.filter(|c| may_issue(c, last)).collect::<Vec<_>>() {
            if way.contains(&issuer) {
                continue;
            }
            if self.tries == TRIES_LIMIT {
                self.error = Some(ChainError::TooManyWays);
                return None;
            }
            self.tries += 1;
            match signed_by(last, issuer) {
                Ok(()) => {}
                // Another of the same name may have signed.
                Err(AlgorithmError::Mismatch) => continue,
                Err(cause) => {
                    self.error.get_or_insert(ChainError::Algorithm { certificate: name(last), cause });
                    continue;
                }
            }
            found = true;
            way.push(issuer);
            let good = self.onward(way);
            if good.is_some() {
                return good;
            }
            way.pop();
        }
        if !found {
            self.error.get_or_insert(ChainError::Untrusted { certificate: name(last) });
        }
        None
    }

    fn checked(&mut self, way: &[&'a Certificate]) -> Option<Vec<&'a Certificate>> {
        match check(way, self.authority.pin.as_deref(), self.now) {
            Ok(()) => Some(way.to_vec()),
            Err(error) => {
                // A way to a root says more than one that ended nowhere.
                self.error = Some(error);
                None
            }
        }
    }
}

/// By names and key identifiers only.
fn may_issue(issuer: &Certificate, subject: &Certificate) -> bool {
    if issuer.tbs_certificate.subject != subject.tbs_certificate.issuer {
        return false;
    }
    let wanted =
        subject.tbs_certificate.get::<AuthorityKeyIdentifier>().ok().flatten().and_then(|(_, id)| id.key_identifier);
    let has = issuer.tbs_certificate.get::<SubjectKeyIdentifier>().ok().flatten().map(|(_, id)| id.0);
    match (wanted, has) {
        (Some(wanted), Some(has)) => wanted == has,
        _ => true,
    }
}

fn signed_by(subject: &Certificate, issuer: &Certificate) -> Result<(), AlgorithmError> {
    if subject.signature_algorithm != subject.tbs_certificate.signature {
        return Err(AlgorithmError::Signature(subject.signature_algorithm.oid.to_string()));
    }
    let message = subject.tbs_certificate.to_der().map_err(|_| AlgorithmError::Mismatch)?;
    let signature = subject.signature.as_bytes().ok_or(AlgorithmError::Mismatch)?;
    let key = &issuer.tbs_certificate.subject_public_key_info;
    verify_certificate(key, &subject.signature_algorithm, &message, signature)
}

fn check(way: &[&Certificate], pin: Option<&str>, now: SystemTime) -> Result<(), ChainError> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Intermediates that count for the length of the way below a certificate.
    let mut below = 0usize;
    for (place, certificate) in way.iter().enumerate() {
        let validity = &certificate.tbs_certificate.validity;
        if now < validity.not_before.to_unix_duration() {
            return Err(ChainError::NotYetValid { certificate: name(certificate) });
        }
        if now > validity.not_after.to_unix_duration() {
            return Err(ChainError::Expired { certificate: name(certificate) });
        }
        extensions(certificate)?;
        purpose(certificate, place, below)?;
        let own = certificate.tbs_certificate.issuer == certificate.tbs_certificate.subject;
        below += usize::from(place > 0 && !own);
    }
    let Some(pin) = pin else { return Ok(()) };
    let between = way.get(1..way.len().saturating_sub(1)).unwrap_or_default();
    let pinned = between.iter().any(|c| c.to_der().is_ok_and(|der| fingerprint(&der) == pin));
    if pinned { Ok(()) } else { Err(ChainError::NotPinned { certificate: name(way[0]) }) }
}

fn extensions(certificate: &Certificate) -> Result<(), ChainError> {
    let all = certificate.tbs_certificate.extensions.as_deref().unwrap_or_default();
    let unknown = |e: &&x509_cert::ext::Extension| {
        e.extn_id == NAME_CONSTRAINTS || e.extn_id == NETSCAPE_TYPE || (e.critical && !UNDERSTOOD.contains(&e.extn_id))
    };
    match all.iter().find(unknown) {
        Some(e) => Err(ChainError::Extension { certificate: name(certificate), oid: e.extn_id.to_string() }),
        None => Ok(()),
    }
}

/// The extension, when it is there once and can be read.
fn extension<'a, T>(certificate: &'a Certificate, oid: Oid) -> Result<Option<T>, ChainError>
where
    T: Decode<'a> + x509_cert::der::oid::AssociatedOid,
{
    match certificate.tbs_certificate.get::<T>() {
        Ok(found) => Ok(found.map(|(_, value)| value)),
        Err(_) => Err(ChainError::Extension { certificate: name(certificate), oid: oid.to_string() }),
    }
}

/// S/MIME signing, for the signer at place 0; issuing below others.
fn purpose(certificate: &Certificate, place: usize, below: usize) -> Result<(), ChainError> {
    let refuse = |why| Err(ChainError::Purpose { certificate: name(certificate), why });
    let usages: Option<ExtendedKeyUsage> = extension(certificate, EXTENDED_KEY_USAGE)?;
    if usages.is_some_and(|usages| !usages.0.contains(&EMAIL_PROTECTION)) {
        return refuse("its extended key usage does not have e-mail protection, as S/MIME needs it");
    }
    let usage: Option<KeyUsage> = extension(certificate, KEY_USAGE)?;
    let constraints: Option<BasicConstraints> = extension(certificate, BASIC_CONSTRAINTS)?;
    if place == 0 {
        let signs = usage.is_none_or(|usage| usage.digital_signature() || usage.non_repudiation());
        return if signs { Ok(()) } else { refuse("its key usage does not have digital signature") };
    }
    let Some(constraints) = constraints.filter(|c| c.ca) else { return refuse("it is no CA") };
    if usage.is_some_and(|usage| !usage.key_cert_sign()) {
        return refuse("its key usage does not have certificate signing");
    }
    if constraints.path_len_constraint.is_some_and(|limit| below > usize::from(limit)) {
        return refuse("it limits how many intermediates there may be below it");
    }
    Ok(())
}
