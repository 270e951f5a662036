//! What every server must satisfy (`servers.md` 3.4, 3.5).

use muster_api::provisioning::server::BmcConfig;

/// What is wrong with a server that somebody wants, in words for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

fn invalid(why: impl std::fmt::Display) -> Invalid {
    Invalid(format!("Invalid server, {why}"))
}

/// Longest URL in bytes, as browsers and proxies commonly take.
const URL_LIMIT: usize = 2048;

/// Longest host name in bytes, as DNS has it, after its letters were encoded.
const HOST_LIMIT: usize = 253;

/// Names: anything but empty and what routes reserve, or what URLs cannot hold as a segment.
pub fn name(name: &str) -> Result<(), Invalid> {
    match name {
        "" => Err(invalid("name can not be empty")),
        n if n.starts_with(':') => {
            Err(invalid("prefix \":\" is reserved for internal use and not allowed as server name"))
        }
        "." | ".." => Err(invalid("name can not be \".\" or \"..\", which no URL can hold")),
        n if n.len() > 255 => Err(invalid("name is longer than 255 bytes")),
        n if n.chars().any(char::is_control) => Err(invalid("name has a control character")),
        _ => Ok(()),
    }
}

/// Where a machine is reached. As in the reference, a text without scheme passes: the poll will say what is wrong with it.
pub fn connection_url(url: &str) -> Result<(), Invalid> {
    if url.is_empty() {
        return Err(invalid("connection URL can not be empty"));
    }
    parsable("connection URL", url)
}

/// User-facing URL, may be empty.
pub fn public_url(url: &str) -> Result<(), Invalid> {
    parsable("public connection URL", url)
}

fn parsable(what: &str, text: &str) -> Result<(), Invalid> {
    if text.len() > URL_LIMIT {
        return Err(invalid(format!("{what} is longer than {URL_LIMIT} bytes")));
    }
    // The parser drops some of them without a word; the reference's refuses.
    if text.chars().any(char::is_control) {
        return Err(invalid(format!("{what} has a control character")));
    }
    match url::Url::parse(text) {
        Ok(url) if url.host_str().is_some_and(|host| host.len() > HOST_LIMIT) => {
            Err(invalid(format!("{what} has a host name longer than {HOST_LIMIT} bytes")))
        }
        // Empty and scheme-less texts are relative URLs to the parser.
        Ok(_) | Err(url::ParseError::RelativeUrlWithoutBase) => Ok(()),
        Err(e) => Err(invalid(format!("{what} is not valid: {:?}: {e}", shown(text)))),
    }
}

/// As much of a text as an error quotes.
fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Channel, not empty.
pub fn channel(channel: &str) -> Result<(), Invalid> {
    if channel.is_empty() { Err(invalid("channel can not be empty")) } else { Ok(()) }
}

/// Access to a management controller.
pub fn bmc(bmc: &BmcConfig) -> Result<(), Invalid> {
    match bmc.api_type.as_str() {
        "" => return Ok(()),
        "redfish-v1-generic" => {}
        other => return Err(invalid(format!("BMC type {:?} is invalid; known is redfish-v1-generic", shown(other)))),
    }
    if bmc.endpoint.is_empty() {
        return Err(invalid("BMC endpoint can not be empty if BMC type is not \"none\""));
    }
    parsable("BMC endpoint", &bmc.endpoint)?;
    url::Url::parse(&bmc.endpoint).map_err(|e| invalid(format!("BMC endpoint URL is not valid: {e}")))?;
    if !bmc.certificate.is_empty() && !bmc.certificate.contains("-----BEGIN CERTIFICATE-----") {
        return Err(Invalid("Invalid certificate PEM for BMC".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_pass_as_in_the_reference() {
        for good in ["https://m1:8443", "m1"] {
            assert!(connection_url(good).is_ok(), "{good}");
        }
        let (long, host) = (format!("m1/{}", "a".repeat(URL_LIMIT)), format!("https://{}ü", "a".repeat(250)));
        for bad in ["", "https://[::1", "https://a\nb", "m1\u{1b}[2J", &long, &host] {
            assert!(connection_url(bad).is_err(), "{bad}");
        }
        assert!(public_url("").is_ok());
    }

    #[test]
    fn names_that_no_route_can_reach_are_refused() {
        for bad in [":self", "", "a\nb", ".", ".."] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        assert!(name("rack 7/ü").is_ok() && name("...").is_ok());
    }
}
