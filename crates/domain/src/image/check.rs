//! What the machine would refuse in a seed, found when the seed is saved: a mistake that shows on a console in front of a
//! rack is found at a desk instead.
//!
//! Every mistake is told at once, each with the path of its field. Only what cannot work is refused; what a future
//! machine may understand (a new role, another bus) is not judged.

use muster_api::provisioning::seed::{
    SeedApplications, SeedInstall, TokenSeedConfigs,
    network::{SeedNetwork, SeedRoute},
};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// Mistakes told at once; a list of thousands helps nobody.
const AT_MOST: usize = 50;

/// A mistake in a seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where, as in `network.interfaces[0].hwaddr`.
    pub field: String,
    /// What is wrong, and what to write instead.
    pub why: String,
}

/// Mistakes in a seed: at least one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invalid token seed")?;
        for (at, Mistake { field, why }) in self.0.iter().take(AT_MOST).enumerate() {
            write!(f, "{} {field}: {why}", if at == 0 { "," } else { ";" })?;
        }
        match self.0.len().saturating_sub(AT_MOST) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// Checks the documents that an operator sets.
///
/// # Errors
/// All mistakes.
pub fn check(seeds: &TokenSeedConfigs) -> Result<(), Mistakes> {
    let mut found = Found::default();
    applications(&mut found, &seeds.applications);
    install(&mut found, &seeds.install);
    network(&mut found, &seeds.network);
    if found.0.is_empty() { Ok(()) } else { Err(Mistakes(found.0)) }
}

#[derive(Default)]
struct Found(Vec<Mistake>);

impl Found {
    fn add(&mut self, field: impl Into<String>, why: impl Into<String>) {
        self.0.push(Mistake { field: field.into(), why: why.into() });
    }

    /// Unless it holds.
    fn unless(&mut self, holds: bool, field: impl FnOnce() -> String, why: impl FnOnce() -> String) {
        if !holds {
            self.add(field(), why());
        }
    }
}

fn applications(found: &mut Found, seed: &SeedApplications) {
    let Some(list) = &seed.applications else {
        let why = "is missing: list at least one, or leave the whole document out for incus";
        found.unless(seed.version.is_empty(), || "applications.applications".into(), || why.into());
        return;
    };
    if list.is_empty() && !seed.version.is_empty() {
        found.add("applications.applications", "is empty: list at least one, or leave the document out for incus");
    }
    let mut seen = BTreeSet::new();
    for (at, application) in list.iter().enumerate() {
        let field = || format!("applications.applications[{at}].name");
        found.unless(!application.name.is_empty(), field, || "is empty".into());
        found.unless(seen.insert(&application.name), field, || format!("{:?} is there twice", application.name));
    }
}

fn install(found: &mut Found, seed: &SeedInstall) {
    let Some(target) = &seed.target else { return };
    let mut size = |name: &str, text: &str| {
        let bytes = bytes(text);
        let why = || format!("{text:?} is no size; write it as 50GiB or 1TB");
        found.unless(text.is_empty() || bytes.is_some(), || format!("install.target.{name}"), why);
        bytes
    };
    let (min, max) = (size("min_size", &target.min_size), size("max_size", &target.max_size));
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        let why = format!("{:?} is less than min_size {:?}: no disk fits", target.max_size, target.min_size);
        found.add("install.target.max_size", why);
    }
    if !matches!(target.sort_order.as_str(), "" | "smallest" | "largest") {
        let why = format!("{:?} must be smallest or largest", target.sort_order);
        found.add("install.target.sort_order", why);
    }
}

/// A size with a unit, in bytes: `50GiB`, `1TB`, `1000`.
fn bytes(text: &str) -> Option<u128> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let power = |unit: &str| "kMGTPE".find(unit).filter(|_| unit.len() == 1).map(|at| at as u32 + 1);
    let factor = match unit {
        "" | "B" | " bytes" => 1,
        unit => match (unit.strip_suffix("iB"), unit.strip_suffix('B')) {
            (Some("K"), _) => 1024,
            (Some(letter), _) => 1024u128.pow(power(letter).filter(|_| letter != "k")?),
            (None, Some(letter)) => 1000u128.pow(power(letter)?),
            (None, None) => return None,
        },
    };
    number.parse::<u64>().ok().map(|number| u128::from(number) * factor)
}

fn network(found: &mut Found, seed: &SeedNetwork) {
    if let Some(dns) = &seed.dns {
        for (at, address) in dns.nameservers.iter().enumerate() {
            let why = || format!("{address:?} is no IP address");
            found.unless(address.parse::<IpAddr>().is_ok(), || format!("network.dns.nameservers[{at}]"), why);
        }
    }
    if let Some(proxy) = &seed.proxy {
        for (at, rule) in proxy.rules.iter().flatten().enumerate() {
            let known = proxy.servers.as_ref().is_some_and(|servers| servers.contains_key(&rule.target));
            let why = || format!("{:?} is neither direct nor a name in network.proxy.servers", rule.target);
            let field = || format!("network.proxy.rules[{at}].target");
            found.unless(known || matches!(rule.target.as_str(), "direct" | "none"), field, why);
        }
    }
    let mut names = Names::default();
    for (at, one) in seed.interfaces.iter().enumerate() {
        let field = format!("network.interfaces[{at}]");
        names.add(found, &field, &one.name);
        let why = || format!("{:?} is neither a MAC address nor the name of a network card", one.hwaddr);
        found.unless(is_mac(&one.hwaddr) || is_device(&one.hwaddr), || format!("{field}.hwaddr"), why);
        link(
            found,
            &field,
            &Link { addresses: &one.addresses, routes: &one.routes, mtu: one.mtu, tags: &one.vlan_tags },
        );
    }
    for (at, one) in seed.bonds.iter().enumerate() {
        let field = format!("network.bonds[{at}]");
        names.add(found, &field, &one.name);
        found.unless(!one.mode.is_empty(), || format!("{field}.mode"), || "is missing, as 802.3ad".into());
        found.unless(!one.members.is_empty(), || format!("{field}.members"), || "is empty: name its cards".into());
        for (member, hwaddr) in one.members.iter().enumerate() {
            let why = || format!("{hwaddr:?} is neither a MAC address nor the name of a network card");
            found.unless(is_mac(hwaddr) || is_device(hwaddr), || format!("{field}.members[{member}]"), why);
        }
        let why = || format!("{:?} is no MAC address", one.hwaddr);
        found.unless(one.hwaddr.is_empty() || is_mac(&one.hwaddr), || format!("{field}.hwaddr"), why);
        link(
            found,
            &field,
            &Link { addresses: &one.addresses, routes: &one.routes, mtu: one.mtu, tags: &one.vlan_tags },
        );
    }
    let parents = names.0.clone();
    for (at, one) in seed.vlans.iter().enumerate() {
        let field = format!("network.vlans[{at}]");
        names.add(found, &field, &one.name);
        found.unless(is_tag(one.id), || format!("{field}.id"), || format!("{} must be from 1 to 4094", one.id));
        let why = || format!("{:?} is no interface or bond of this seed", one.parent);
        found.unless(parents.contains(&one.parent), || format!("{field}.parent"), why);
        link(found, &field, &Link { addresses: &one.addresses, routes: &one.routes, mtu: one.mtu, tags: &[] });
    }
    for (at, one) in seed.wireguard.iter().enumerate() {
        let field = format!("network.wireguard[{at}]");
        names.add(found, &field, &one.name);
        let port = || format!("{} must be from 0 to 65535", one.port);
        found.unless((0..=65535).contains(&one.port), || format!("{field}.port"), port);
        for (number, peer) in one.peers.iter().enumerate() {
            for (place, network) in peer.allowed_ips.iter().enumerate() {
                let field = || format!("{field}.peers[{number}].allowed_ips[{place}]");
                found.unless(is_network(network), field, || format!("{network:?} is no network, as 10.0.0.0/8"));
            }
        }
        link(found, &field, &Link { addresses: &one.addresses, routes: &one.routes, mtu: one.mtu, tags: &[] });
    }
}

/// Names of links so far.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn add(&mut self, found: &mut Found, field: &str, name: &str) {
        if !is_device(name) {
            let why = format!("{name:?} is no name of a link: up to 15 letters, digits, and . _ - are");
            found.add(format!("{field}.name"), why);
        } else if !self.0.insert(name.to_owned()) {
            found.add(format!("{field}.name"), format!("{name:?} is there twice"));
        }
    }
}

/// What all kinds of links have.
struct Link<'a> {
    addresses: &'a [String],
    routes: &'a [SeedRoute],
    mtu: i64,
    tags: &'a [i64],
}

fn link(found: &mut Found, field: &str, link: &Link<'_>) {
    for (at, address) in link.addresses.iter().enumerate() {
        let known = matches!(address.as_str(), "dhcp4" | "dhcp6" | "slaac") || is_network(address);
        let why = || format!("{address:?} must be dhcp4, dhcp6, slaac, or an address with its prefix, as 192.0.2.1/24");
        found.unless(known, || format!("{field}.addresses[{at}]"), why);
    }
    for (at, route) in link.routes.iter().enumerate() {
        let why = || format!("{:?} is no network, as 10.0.0.0/8", route.to);
        let to = is_network(&route.to) || route.to == "default" || route.to.parse::<IpAddr>().is_ok();
        found.unless(to, || format!("{field}.routes[{at}].to"), why);
        let via = matches!(route.via.as_str(), "dhcp4" | "dhcp6" | "slaac") || route.via.parse::<IpAddr>().is_ok();
        found.unless(via, || format!("{field}.routes[{at}].via"), || format!("{:?} is no IP address", route.via));
    }
    let why = || format!("{} must be from 68 to 65535", link.mtu);
    found.unless(link.mtu == 0 || (68..=65535).contains(&link.mtu), || format!("{field}.mtu"), why);
    for (at, tag) in link.tags.iter().enumerate() {
        found.unless(is_tag(*tag), || format!("{field}.vlan_tags[{at}]"), || format!("{tag} must be from 1 to 4094"));
    }
}

fn is_tag(id: i64) -> bool {
    (1..=4094).contains(&id)
}

fn is_network(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    prefix.bytes().all(|b| b.is_ascii_digit()) && prefix.parse::<u8>().is_ok_and(|prefix| prefix <= longest)
}

fn is_mac(text: &str) -> bool {
    let separator = if text.contains('-') { '-' } else { ':' };
    let parts: Vec<&str> = text.split(separator).collect();
    parts.len() == 6 && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// As Linux takes it, without what would need escaping somewhere.
fn is_device(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=15).contains(&text.len()) && text.bytes().all(allowed) && text != "." && text != ".."
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_api::body::strict;

    fn mistakes(json: &str) -> Vec<String> {
        let seeds: TokenSeedConfigs = strict(json.as_bytes()).unwrap();
        let fields = |Mistakes(found)| found.into_iter().map(|mistake: Mistake| mistake.field).collect();
        check(&seeds).err().map(fields).unwrap_or_default()
    }

    #[test]
    fn what_works_is_left_alone() {
        for json in [
            "{}",
            r#"{"applications": {"applications": []}}"#,
            r#"{"applications": {"version": "1", "applications": [{"name": "incus"}, {"name": "incus-ceph"}]}}"#,
            r#"{"install": {"target": {"bus": "nvme", "id": "scsi-0QEMU*", "min_size": "50GiB", "max_size": "1TB", "sort_order": "smallest"}}}"#,
            r#"{"network": {"interfaces": [{"name": "eth0", "hwaddr": "10:66:6a:00:00:01", "mtu": 9000, "vlan_tags": [1, 4094],
                "addresses": ["dhcp4", "slaac", "192.0.2.1/24", "2001:db8::1/64"], "routes": [{"to": "0.0.0.0/0", "via": "192.0.2.254"}]},
                {"name": "enp5s0", "hwaddr": "enp5s0"}],
                "bonds": [{"name": "bond0", "mode": "802.3ad", "members": ["10:66:6A:00:00:02", "10-66-6a-00-00-03"]}],
                "vlans": [{"name": "v10", "parent": "bond0", "id": 10}],
                "wireguard": [{"name": "wg0", "port": 51820, "peers": [{"public_key": "k", "allowed_ips": ["10.0.0.0/8"]}]}],
                "dns": {"nameservers": ["192.0.2.1", "2001:db8::53"]},
                "proxy": {"servers": {"p": {}}, "rules": [{"destination": "*", "target": "p"}, {"destination": "x", "target": "direct"}]}}}"#,
        ] {
            assert_eq!(mistakes(json), Vec::<String>::new(), "{json}");
        }
    }

    #[test]
    fn every_mistake_is_told_at_once_by_its_field() {
        assert_eq!(mistakes(r#"{"applications": {"version": "1"}}"#), ["applications.applications"]);
        assert_eq!(
            mistakes(
                r#"{"applications": {"version": "1", "applications": [{"name": ""}, {"name": "a"}, {"name": "a"}]},
                "install": {"target": {"min_size": "2TB", "max_size": "1TiB", "sort_order": "biggest"}},
                "network": {"interfaces": [{"name": "eth 0", "hwaddr": "10:66", "addresses": ["192.0.2.1"], "mtu": 7}, {"name": "a", "hwaddr": "", "vlan_tags": [0]}],
                    "bonds": [{"name": "a", "routes": [{"to": "x", "via": "y"}]}], "vlans": [{"name": "v", "id": 4095, "parent": "eth0"}],
                    "wireguard": [{"name": "averyverylongname", "port": -1, "peers": [{"allowed_ips": ["10.0.0.0/33"]}]}],
                    "dns": {"nameservers": ["dns.example.test"]}, "proxy": {"rules": [{"target": "p"}]}}}"#
            ),
            [
                "applications.applications[0].name",
                "applications.applications[2].name",
                "install.target.max_size",
                "install.target.sort_order",
                "network.dns.nameservers[0]",
                "network.proxy.rules[0].target",
                "network.interfaces[0].name",
                "network.interfaces[0].hwaddr",
                "network.interfaces[0].addresses[0]",
                "network.interfaces[0].mtu",
                "network.interfaces[1].hwaddr",
                "network.interfaces[1].vlan_tags[0]",
                "network.bonds[0].name",
                "network.bonds[0].mode",
                "network.bonds[0].members",
                "network.bonds[0].routes[0].to",
                "network.bonds[0].routes[0].via",
                "network.vlans[0].id",
                "network.vlans[0].parent",
                "network.wireguard[0].name",
                "network.wireguard[0].port",
                "network.wireguard[0].peers[0].allowed_ips[0]",
            ]
        );
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1000", Some(1000)),
            ("5B", Some(5)),
            ("1kB", Some(1000)),
            ("1KiB", Some(1024)),
            ("50GiB", Some(50 << 30)),
            ("7 bytes", Some(7)),
            ("50 GB", None),
            ("1KB", None),
            ("1TB", Some(1_000_000_000_000)),
            ("2EiB", Some(2 << 60)),
            ("", None),
            ("GiB", None),
            ("50G", None),
            ("50kiB", None),
            ("50GiBs", None),
            ("50xB", None),
            ("-1GB", None),
            ("1.5TB", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn the_text_names_every_field_up_to_a_limit() {
        let names: Vec<String> = (0..60).map(|_| r#"{"name": ""}"#.to_owned()).collect();
        let json = format!(r#"{{"applications": {{"version": "1", "applications": [{}]}}}}"#, names.join(","));
        let seeds: TokenSeedConfigs = strict(json.as_bytes()).unwrap();
        let text = check(&seeds).unwrap_err().to_string();
        assert!(text.starts_with("Invalid token seed, applications.applications[0].name: is empty; "), "{text}");
        assert!(text.ends_with(" more") && text.len() < 5000, "{text}");
    }
}
