//! Secrets in documents: masked on the way out, kept when the mask comes back in (design decision 6).

use muster_api::{
    provisioning::server::MASK,
    system::{SystemAcme, SystemSecurity},
};

/// The document as anyone may see it.
pub fn masked(security: &SystemSecurity) -> SystemSecurity {
    let mut out = security.clone();
    out.acme = out.acme.with_defaults();
    if !out.openfga.api_token.is_empty() {
        out.openfga.api_token = MASK.into();
    }
    for entry in &mut out.acme.provider_environment {
        if let Some((key, value)) = entry.split_once('=')
            && !value.is_empty()
        {
            *entry = format!("{key}={MASK}");
        }
    }
    out
}

/// A document from outside, with masked values taken from the stored one.
pub fn unmasked(new: SystemSecurity, stored: &SystemSecurity) -> SystemSecurity {
    let mut out = new;
    if out.openfga.api_token == MASK {
        out.openfga.api_token.clone_from(&stored.openfga.api_token);
    }
    for entry in &mut out.acme.provider_environment {
        if let Some(key) = entry.strip_suffix(MASK) {
            *entry = stored_value(&stored.acme, key).unwrap_or_else(|| key.to_owned());
        }
    }
    out
}

fn stored_value(acme: &SystemAcme, key_with_equals: &str) -> Option<String> {
    acme.provider_environment.iter().find(|e| e.starts_with(key_with_equals)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_put_back_without_losing_a_secret() {
        let mut stored = SystemSecurity::default();
        stored.openfga.api_token = "t0ken".into();
        stored.acme.provider_environment = vec!["KEY=s3cret".into(), "EMPTY=".into()];
        let shown = masked(&stored);
        let text = serde_json::to_string(&shown).unwrap();
        assert!(!text.contains("t0ken") && !text.contains("s3cret"), "{text}");
        stored.acme = stored.acme.with_defaults();
        assert_eq!(unmasked(shown, &stored), stored);
    }
}
