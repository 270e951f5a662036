//! The seed `network`: the members of the machine's network configuration at top level (`servers.md` 7.1).

use super::{is_zero, list, nullable_list, nullable_map};
use crate::lenient::null_as_default;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How the machine reaches the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedNetwork {
    /// How long a change may go unconfirmed before the machine takes it back.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub confirmation_timeout: String,
    /// Name and resolvers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<SeedDns>,
    /// Clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<SeedTime>,
    /// Proxies for outgoing requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<SeedProxy>,
    /// Network cards.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub interfaces: Vec<SeedInterface>,
    /// Several cards as one.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub bonds: Vec<SeedBond>,
    /// Tagged networks.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub vlans: Vec<SeedVlan>,
    /// Tunnels.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub wireguard: Vec<SeedWireguard>,
    /// Version of the document, not interpreted.
    #[serde(deserialize_with = "null_as_default")]
    pub version: String,
}

/// Name and resolvers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedDns {
    /// Ask the resolvers over TLS.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub dns_over_tls: bool,
    /// Domain.
    #[serde(deserialize_with = "null_as_default")]
    pub domain: String,
    /// Host name.
    #[serde(deserialize_with = "null_as_default")]
    pub hostname: String,
    /// Addresses of resolvers.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub nameservers: Vec<String>,
    /// Domains to complete short names with.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub search_domains: Vec<String>,
}

/// Clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedTime {
    /// Time servers.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub ntp_servers: Vec<String>,
    /// Name of the time zone.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub timezone: String,
}

/// Proxies for outgoing requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedProxy {
    /// Which destination goes which way.
    #[serde(deserialize_with = "nullable_list")]
    pub rules: Option<Vec<SeedProxyRule>>,
    /// Proxies by name.
    #[serde(deserialize_with = "nullable_map")]
    pub servers: Option<BTreeMap<String, SeedProxyServer>>,
}

/// Which destination goes which way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedProxyRule {
    /// Pattern of host names or addresses.
    #[serde(deserialize_with = "null_as_default")]
    pub destination: String,
    /// Name of a proxy, or `direct`.
    #[serde(deserialize_with = "null_as_default")]
    pub target: String,
}

/// A proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedProxyServer {
    /// Way to log in: `none`, `basic` or `kerberos`.
    #[serde(deserialize_with = "null_as_default")]
    pub auth: String,
    /// `host:port`.
    #[serde(deserialize_with = "null_as_default")]
    pub host: String,
    /// Secret.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub password: String,
    /// Kerberos realm.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub realm: String,
    /// User.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub username: String,
    /// Speak TLS to it.
    #[serde(deserialize_with = "null_as_default")]
    pub use_tls: bool,
}

/// A network card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedInterface {
    /// Addresses with prefix length, `dhcp4`, `slaac`.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub addresses: Vec<String>,
    /// Tuning of the card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ethernet: Option<SeedEthernet>,
    /// Who may connect.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub firewall_rules: Vec<SeedFirewallRule>,
    /// MAC address or present name of the card.
    #[serde(deserialize_with = "null_as_default")]
    pub hwaddr: String,
    /// Announce itself to the switch.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub lldp: bool,
    /// Largest packet in bytes.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub mtu: i64,
    /// Name.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Which addresses it needs before the machine counts as online.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub required_for_online: String,
    /// `management`, `cluster`, `instances`, `storage`.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub roles: Vec<String>,
    /// Static routes.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub routes: Vec<SeedRoute>,
    /// Match the permanent MAC address only.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub strict_hwaddr: bool,
    /// Tags that pass through.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub vlan_tags: Vec<i64>,
}

/// Several cards as one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedBond {
    /// Addresses with prefix length, `dhcp4`, `slaac`.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub addresses: Vec<String>,
    /// Tuning of the cards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ethernet: Option<SeedEthernet>,
    /// Who may connect.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub firewall_rules: Vec<SeedFirewallRule>,
    /// MAC address.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub hwaddr: String,
    /// Announce itself to the switch.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub lldp: bool,
    /// MAC addresses or names of the cards.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub members: Vec<String>,
    /// Bonding mode, such as `802.3ad`.
    #[serde(deserialize_with = "null_as_default")]
    pub mode: String,
    /// Largest packet in bytes.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub mtu: i64,
    /// Name.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Which addresses it needs before the machine counts as online.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub required_for_online: String,
    /// `management`, `cluster`, `instances`, `storage`.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub roles: Vec<String>,
    /// Static routes.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub routes: Vec<SeedRoute>,
    /// Tags that pass through.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub vlan_tags: Vec<i64>,
}

/// A tagged network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedVlan {
    /// Addresses with prefix length, `dhcp4`, `slaac`.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub addresses: Vec<String>,
    /// Who may connect.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub firewall_rules: Vec<SeedFirewallRule>,
    /// Tag.
    #[serde(deserialize_with = "null_as_default")]
    pub id: i64,
    /// Largest packet in bytes.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub mtu: i64,
    /// Name.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Interface or bond that carries it.
    #[serde(deserialize_with = "null_as_default")]
    pub parent: String,
    /// Which addresses it needs before the machine counts as online.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub required_for_online: String,
    /// `management`, `cluster`, `instances`, `storage`.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub roles: Vec<String>,
    /// Static routes.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub routes: Vec<SeedRoute>,
}

/// A tunnel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedWireguard {
    /// Addresses with prefix length.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub addresses: Vec<String>,
    /// Who may connect.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub firewall_rules: Vec<SeedFirewallRule>,
    /// Largest packet in bytes.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub mtu: i64,
    /// Name.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Other ends.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub peers: Vec<SeedWireguardPeer>,
    /// UDP port.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub port: i64,
    /// Secret; made by the machine when empty.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub private_key: String,
    /// Which addresses it needs before the machine counts as online.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub required_for_online: String,
    /// `management`, `cluster`, `instances`, `storage`.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub roles: Vec<String>,
    /// Static routes.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub routes: Vec<SeedRoute>,
}

/// The other end of a tunnel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedWireguardPeer {
    /// Networks behind it.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub allowed_ips: Vec<String>,
    /// `host:port`.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub endpoint: String,
    /// Seconds between keep-alive packets.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub persistent_keepalive: i64,
    /// Secret.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub preshared_key: String,
    /// Its public key.
    #[serde(deserialize_with = "null_as_default")]
    pub public_key: String,
}

/// A static route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedRoute {
    /// Network.
    #[serde(deserialize_with = "null_as_default")]
    pub to: String,
    /// Gateway.
    #[serde(deserialize_with = "null_as_default")]
    pub via: String,
}

/// Who may connect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedFirewallRule {
    /// What to do.
    #[serde(deserialize_with = "null_as_default")]
    pub action: String,
    /// Address or network.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub source: String,
    /// Protocol.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub protocol: String,
    /// Port.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub port: i64,
}

/// Tuning of a network card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedEthernet {
    /// No energy efficient Ethernet.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub disable_energy_efficient: bool,
    /// No generic receive offload.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub disable_gro: bool,
    /// No generic segmentation offload.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub disable_gso: bool,
    /// No TCP segmentation offload over IPv4.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub disable_ipv4_tso: bool,
    /// No TCP segmentation offload over IPv6.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub disable_ipv6_tso: bool,
    /// Wake on LAN.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub wakeonlan: bool,
    /// What wakes it.
    #[serde(deserialize_with = "list", skip_serializing_if = "is_zero")]
    pub wakeonlan_modes: Vec<String>,
    /// Secret.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub wakeonlan_password: String,
}

objects!(
    SeedNetwork,
    SeedDns,
    SeedTime,
    SeedProxy,
    SeedProxyRule,
    SeedProxyServer,
    SeedInterface,
    SeedBond,
    SeedVlan,
    SeedWireguard,
    SeedWireguardPeer,
    SeedRoute,
    SeedFirewallRule,
    SeedEthernet
);
