//! Against what the reference was seen to take, refuse and answer.

use super::*;
use serde_json::Value;

/// Sent: keys in the order of the one who wrote them.
const SENT: &str = r#"{
"applications":{"version":"1","applications":[{"name":"incus"},{"name":"incus-ceph"}]},
"install":{
  "version":"1",
  "force_install":true,
  "force_reboot":false,
  "security":{"missing_tpm":true,"missing_secure_boot":false},
  "target":{"id":"scsi-0QEMU*","min_size":"50GiB","sort_order":"smallest","bus":"nvme"}
},
"network":{
  "version":"1",
  "dns":{"hostname":"host1","domain":"example.test","nameservers":["192.0.2.1"]},
  "time":{"timezone":"Europe/Zurich","ntp_servers":["ntp.example.test"]},
  "interfaces":[{"name":"eth0","hwaddr":"10:66:6a:00:00:01","addresses":["dhcp4","slaac"],"roles":["management"],"required_for_online":"ipv4","mtu":9000,"lldp":true}],
  "bonds":[{"name":"bond0","mode":"802.3ad","members":["10:66:6a:00:00:02","10:66:6a:00:00:03"],"mtu":1500}],
  "vlans":[{"name":"v10","parent":"bond0","id":10,"roles":["storage"]}],
  "proxy":{"servers":{"p":{"host":"proxy.example.test:3128","auth":"none","use_tls":false}},"rules":[{"destination":"*","target":"p"}]}
},
"migration_manager":{
  "version":"1",
  "apply_defaults":true,
  "trusted_client_certificates":["PEM"],
  "preseed":{"system_network":{"rest_server_address":"[::]:6443","worker_endpoint":"https://mm.example.test"}}
},
"operations_center":{
  "version":"1",
  "apply_defaults":false,
  "preseed":{"system_network":{"address":"https://oc.example.test:8443","rest_server_address":"[::]:8443"},"system_settings":{"log_level":"DEBUG","server_registration_scriptlet":""}}
}
}"#;

/// Answered: keys in the reference's order.
const SHOWN: &str = r#"{
"applications":{"version":"1","applications":[{"name":"incus"},{"name":"incus-ceph"}]},
"install":{
  "version":"1",
  "force_install":true,
  "force_reboot":false,
  "security":{"missing_tpm":true,"missing_secure_boot":false},
  "target":{"bus":"nvme","id":"scsi-0QEMU*","min_size":"50GiB","sort_order":"smallest"}
},
"migration_manager":{
  "version":"1",
  "trusted_client_certificates":["PEM"],
  "apply_defaults":true,
  "preseed":{"system_network":{"rest_server_address":"[::]:6443","worker_endpoint":"https://mm.example.test"}}
},
"network":{
  "dns":{"domain":"example.test","hostname":"host1","nameservers":["192.0.2.1"]},
  "time":{"ntp_servers":["ntp.example.test"],"timezone":"Europe/Zurich"},
  "proxy":{"rules":[{"destination":"*","target":"p"}],"servers":{"p":{"auth":"none","host":"proxy.example.test:3128","use_tls":false}}},
  "interfaces":[{"addresses":["dhcp4","slaac"],"hwaddr":"10:66:6a:00:00:01","lldp":true,"mtu":9000,"name":"eth0","required_for_online":"ipv4","roles":["management"]}],
  "bonds":[{"members":["10:66:6a:00:00:02","10:66:6a:00:00:03"],"mode":"802.3ad","mtu":1500,"name":"bond0"}],
  "vlans":[{"id":10,"name":"v10","parent":"bond0","roles":["storage"]}],
  "version":"1"
},
"operations_center":{
  "version":"1",
  "apply_defaults":false,
  "preseed":{"system_network":{"address":"https://oc.example.test:8443","rest_server_address":"[::]:8443"},"system_settings":{"log_level":"DEBUG","server_registration_scriptlet":""}}
}
}"#;

/// Answered when nothing was sent.
const BARE: &str = r#"{
"applications":{"version":"","applications":null},
"install":{"version":"","force_install":false,"force_reboot":false,"target":null},
"migration_manager":{"version":"","apply_defaults":false,"preseed":null},
"network":{"version":""},
"operations_center":{"version":"","apply_defaults":false,"preseed":null}
}"#;

/// The same without the line breaks that make it readable here; no text in it has any.
fn compact(text: &str) -> String {
    text.lines().map(str::trim_start).collect()
}

fn written(seeds: &TokenSeedConfigs) -> String {
    serde_json::to_string(seeds).unwrap()
}

#[test]
fn a_full_document_comes_back_in_the_reference_order() {
    let sent: TokenSeedConfigs = serde_json::from_str(SENT).unwrap();
    assert_eq!(written(&sent), compact(SHOWN));
    let shown: TokenSeedConfigs = serde_json::from_str(SHOWN).unwrap();
    assert_eq!(shown, sent);
}

#[test]
fn what_is_missing_or_null_is_zero() {
    for text in [
        "{}",
        r#"{"applications": null, "install": null, "migration_manager": null, "network": null, "operations_center": null}"#,
        r#"{"applications": {"version": null, "applications": null}, "network": {"interfaces": null, "dns": null}}"#,
        r#"{"network": {"interfaces": [], "vlans": []}, "operations_center": {"trusted_client_certificates": []}}"#,
    ] {
        let seeds: TokenSeedConfigs = serde_json::from_str(text).unwrap();
        assert_eq!(seeds, TokenSeedConfigs::default(), "{text}");
        assert_eq!(written(&seeds), compact(BARE), "{text}");
    }
}

#[test]
fn an_empty_list_is_not_null_and_null_in_a_list_is_zero() {
    let seeds: TokenSeedConfigs =
        serde_json::from_str(r#"{"applications": {"applications": []}, "network": {"interfaces": [null]}}"#).unwrap();
    let value: Value = serde_json::to_value(&seeds).unwrap();
    assert_eq!(value["applications"]["applications"], serde_json::json!([]));
    assert_eq!(value["network"]["interfaces"], serde_json::json!([{"hwaddr": "", "name": ""}]));
}

#[test]
fn every_field_of_the_contract_is_taken_and_kept() {
    let link = r#""addresses":["dhcp4"],"firewall_rules":[{"action":"accept","source":"192.0.2.0/24","protocol":"tcp","port":22}]"#;
    let tail = r#""required_for_online":"both","roles":["cluster"],"routes":[{"to":"0.0.0.0/0","via":"192.0.2.1"}]"#;
    let ethernet = r#""ethernet":{"disable_energy_efficient":true,"disable_gro":true,"disable_gso":true,"disable_ipv4_tso":true,"disable_ipv6_tso":true,"wakeonlan":true,"wakeonlan_modes":["magic"],"wakeonlan_password":"w"}"#;
    let tidy = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let network = format!(
        r#"{{"confirmation_timeout":"5m",
        "dns":{{"dns_over_tls":true,"domain":"d","hostname":"h","nameservers":["n"],"search_domains":["s"]}},
        "time":{{"ntp_servers":["n"],"timezone":"UTC"}},
        "proxy":{{"rules":[{{"destination":"*","target":"p"}}],"servers":{{"p":{{"auth":"basic","host":"h","password":"p","realm":"r","username":"u","use_tls":true}}}}}},
        "interfaces":[{{{link},"hwaddr":"h","lldp":true,"mtu":9000,"name":"i",{tail},{ethernet},"strict_hwaddr":true,"vlan_tags":[1]}}],
        "bonds":[{{{link},"hwaddr":"h","lldp":true,"members":["a"],"mode":"802.3ad","mtu":1,"name":"b",{tail},{ethernet},"vlan_tags":[1]}}],
        "vlans":[{{{link},"id":10,"mtu":1,"name":"v","parent":"b",{tail}}}],
        "wireguard":[{{{link},"mtu":1,"name":"w","peers":[{{"allowed_ips":["a"],"endpoint":"e","persistent_keepalive":25,"preshared_key":"s","public_key":"k"}}],"port":51820,"private_key":"p",{tail}}}],
        "version":"1"}}"#
    );
    let seed: SeedNetwork = serde_json::from_str(&network).unwrap();
    assert_eq!(serde_json::to_value(&seed).unwrap(), tidy(&network));

    let shared = r#""trusted_tls_client_cert_fingerprints":["f"],"trusted_https_proxies":["192.0.2.1"],
        "oidc":{"issuer":"i","client_id":"c","scopes":"s","audience":"a","claim":"c"},
        "openfga":{"api_token":"t","api_url":"u","store_id":"s"},
        "acme":{"agree_tos":true,"ca_url":"u","challenge":"HTTP-01","domain":"d","email":"e","http_challenge_address":"a",
                "provider":"p","provider_environment":["K=v"],"provider_resolvers":["r"]}"#;
    let manager = format!(
        r#"{{"version":"1","trusted_client_certificates":["p"],"apply_defaults":true,"preseed":{{
        "system_certificate":{{"certificate":"c","key":"k","ca":"a"}},
        "system_network":{{"rest_server_address":"r","worker_endpoint":"w"}},
        "system_security":{{"trusted_tls_client_certificates":["p"],{shared}}}}}}}"#
    );
    let seed: SeedMigrationManager = serde_json::from_str(&manager).unwrap();
    assert_eq!(serde_json::to_value(&seed).unwrap(), tidy(&manager));

    let center = format!(
        r#"{{"version":"1","trusted_client_certificates":["p"],"apply_defaults":true,"preseed":{{
        "system_certificate":{{"certificate":"c","key":"k"}},
        "system_network":{{"address":"a","rest_server_address":"r"}},
        "system_security":{{{shared}}},
        "system_updates":{{"source":"s","signature_verification_root_ca":"r","filter_expression":"f","file_filter_expression":"f",
            "updates_default_channel":"u","server_default_channel":"s","image_server_authentication_by_query_param":true}},
        "system_settings":{{"log_level":"DEBUG","server_registration_scriptlet":"s"}}}}}}"#
    );
    let seed: SeedOperationsCenter = serde_json::from_str(&center).unwrap();
    assert_eq!(serde_json::to_value(&seed).unwrap(), tidy(&center));

    let install = r#"{"version":"1","force_install":true,"force_install_confirmation":"yes","force_reboot":true,
        "security":{"missing_tpm":true,"missing_secure_boot":true},
        "target":{"bus":"nvme","id":"i","max_size":"1TiB","min_size":"1GiB","sort_order":"largest"}}"#;
    let seed: SeedInstall = serde_json::from_str(install).unwrap();
    assert_eq!(serde_json::to_value(&seed).unwrap(), tidy(install));
}

#[test]
fn creation_takes_a_name_and_refuses_what_the_reference_refuses() {
    let post: TokenSeedPost = serde_json::from_str(r#"{"name": "bare"}"#).unwrap();
    assert_eq!((post.name.as_str(), post.public), ("bare", false));
    assert_eq!(post.seeds, TokenSeedConfigs::default());
    let post: TokenSeedPost = serde_json::from_str(r#"{"description": "x"}"#).unwrap();
    assert_eq!(post.name, "", "for the caller to refuse");
    for bad in [
        r#"{"name": "x", "colour": 1}"#,
        r#"{"name": "x", "seeds": {"incus": {}}}"#,
        r#"{"name": "x", "seeds": {"update": {}}}"#,
        r#"{"name": "x", "seeds": {"security": {}}}"#,
        r#"{"name": "x", "seeds": {"network": {"config": {}}}}"#,
        r#"{"name": "x", "seeds": {"network": {"interfaces": [{"nome": "eth0"}]}}}"#,
        r#"{"name": "x", "public": "yes"}"#,
        r#"{"name": 1}"#,
        r#"{"name": "x", "token_uuid": "00000000-0000-4000-8000-000000000000"}"#,
        "",
        "{",
        r#"{"name": "x", "seeds": {"operations_center": {"preseed": {"system_settings": {"x": 1}}}}}"#,
        r#"{"name": "x", "seeds": {"migration_manager": {"preseed": {"system_security": {"oidc": {"x": 1}}}}}}"#,
    ] {
        assert!(serde_json::from_str::<TokenSeedPost>(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_change_leaves_the_name_alone() {
    let put: TokenSeedPut = serde_json::from_str(r#"{"public": true}"#).unwrap();
    assert!(put.public);
    assert_eq!(serde_json::from_str::<TokenSeedPut>("{}").unwrap(), TokenSeedPut::default());
    for bad in [r#"{"name": "full"}"#, r#"{"seeds": {"kernel": {}}}"#, "{"] {
        assert!(serde_json::from_str::<TokenSeedPut>(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_image_request_is_as_strict() {
    let image: TokenImagePost =
        serde_json::from_str(r#"{"type": "iso", "architecture": "x86_64", "seeds": {}}"#).unwrap();
    assert_eq!((image.image_type.as_str(), image.architecture.as_str()), ("iso", "x86_64"));
    assert_eq!(serde_json::from_str::<TokenImagePost>(r#"{"type": "iso"}"#).unwrap().architecture, "");
    for bad in [
        r#"{"type": "iso", "seeds": {}, "colour": 1}"#,
        r#"{"type": "iso", "seeds": {"x": {}}}"#,
        r#"{"type": "iso", "seeds": {"incus": {}}}"#,
        r#"{"type": "iso", "seeds": {"install": {"x": 1}}}"#,
        r#"{"type": "iso", "seeds": {"install": {"force_reboot": "yes"}}}"#,
        r#"{"type": "iso", "seeds": {"network": {"vlans": [{"id": 1.5}]}}}"#,
        "",
        "{",
    ] {
        assert!(serde_json::from_str::<TokenImagePost>(bad).is_err(), "{bad}");
    }
}

/// A list in the place of an object would be read as the object's fields in order.
#[test]
fn a_list_is_no_object() {
    assert!(serde_json::from_str::<TokenSeedPost>("[]").is_err());
    assert!(serde_json::from_str::<TokenImagePost>(r#"{"type": "iso", "seeds": []}"#).is_err());
    assert!(serde_json::from_str::<TokenSeedConfigs>(r#"{"install": ["1", true, "", true, null, null]}"#).is_err());
}

#[test]
fn a_seed_is_shown_in_the_reference_order() {
    let text = format!(
        r#"{{"name":"bare","description":"","public":false,"seeds":{},"token_uuid":"b32d0079-c48b-4957-b1cb-bef54125c861","last_updated":"2026-08-01T10:00:00Z"}}"#,
        compact(BARE)
    );
    let seed: TokenSeed = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&seed).unwrap(), text);
}
