//! Under which URL a machine is reached.

use std::net::{IpAddr, Ipv6Addr};

use url::{Host, Url};

/// The port of a machine that names no other.
pub const DEFAULT_PORT: u16 = 8443;

/// The connection URL after a full poll: the current one for as long as its host still is an address of the
/// management interface or is a name, so that a port or URL somebody chose is kept; else the first management
/// address in a fixed order, with the current port (`servers.md` 16, defect 5). None when the machine has no
/// management address.
pub fn connection_url(current: &str, management: &[IpAddr]) -> Option<String> {
    let parsed = Url::parse(current).ok().filter(|url| url.scheme() == "https");
    let host = parsed.as_ref().and_then(Url::host);
    let usable =
        |ip: &&IpAddr| !matches!(ip, IpAddr::V6(v6) if is_link_local(v6)) && !ip.is_loopback() && !ip.is_unspecified();
    // IPv6 before IPv4, then by number: the same answer for the same machine at every poll.
    let best = management.iter().filter(usable).min_by_key(|ip| (ip.is_ipv4(), **ip));
    let keep = match host {
        Some(Host::Domain(_)) => best.is_some(),
        Some(Host::Ipv4(ip)) => management.contains(&IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => management.contains(&IpAddr::V6(ip)),
        None => false,
    };
    // The URL parser drops 443, which is a choice too when a URL was given.
    let port = parsed.as_ref().map_or(DEFAULT_PORT, |url| url.port_or_known_default().unwrap_or(DEFAULT_PORT));
    if keep {
        return host.map(|host| format!("https://{host}:{port}"));
    }
    Some(match best? {
        IpAddr::V4(ip) => format!("https://{ip}:{port}"),
        IpAddr::V6(ip) => format!("https://[{ip}]:{port}"),
    })
}

/// Whether an address only means something on its own link.
fn is_link_local(ip: &Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn a_machine_without_management_address_has_no_url() {
        assert_eq!(connection_url("https://10.0.0.1:8443", &[]), None);
        assert_eq!(connection_url("", &ips(&["fe80::1", "127.0.0.1"])), None);
    }

    #[test]
    fn without_a_url_the_choice_is_the_same_every_time() {
        for order in [["10.0.0.9", "10.0.0.2"], ["10.0.0.2", "10.0.0.9"]] {
            assert_eq!(connection_url("", &ips(&order)).unwrap(), "https://10.0.0.2:8443");
        }
        let both = ips(&["10.0.0.2", "fd00::7", "fe80::1"]);
        assert_eq!(connection_url("", &both).unwrap(), "https://[fd00::7]:8443");
    }
}
