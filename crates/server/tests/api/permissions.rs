//! Every route against its line of the permission table.

use crate::bench::{Bench, Who, on_both};
use axum::http::StatusCode;
use muster_server::Access;
use std::collections::BTreeSet;

/// What nobody has to log in for. A route that becomes open has to be written here, on purpose.
const OPEN: &[&str] = &[
    "GET /",
    "GET /.well-known/acme-challenge/{token}",
    "GET /1.0",
    "GET /1.0/provisioning/updates",
    "GET /1.0/provisioning/updates/{uuid}",
    "GET /1.0/provisioning/updates/{uuid}/changelog",
    "GET /1.0/provisioning/updates/{uuid}/files",
    "GET /1.0/provisioning/updates/{uuid}/files/{filename}",
    "GET /oidc/callback",
    "GET /oidc/login",
    "GET /oidc/logout",
    "ANY /1.0/provisioning/updates/:refresh",
    "ANY /os",
    "ANY /ui",
];

/// What looks at something else than the caller's log-in: a registration token, a machine's certificate, a public seed.
const HANDLER: &[&str] = &[
    "GET /1.0/provisioning/tokens/{uuid}/seeds/{name}",
    "POST /1.0/provisioning/servers",
    "PUT /1.0/provisioning/servers/:self",
];

#[test]
fn every_documented_operation_has_a_permission_and_the_open_ones_are_known() {
    on_both(|bench| async move {
        let line = |p: &muster_server::Permission| format!("{} {}", p.method, p.path);
        let of = |access: Access| -> BTreeSet<String> {
            bench.table.iter().filter(|p| p.access == access).map(line).collect()
        };
        let set = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(of(Access::Open), set(OPEN));
        assert_eq!(of(Access::Handler), set(HANDLER));
        let listed: BTreeSet<String> = bench.table.iter().map(line).collect();
        let mut operations = 0;
        for (path, item) in &bench.openapi.paths.paths {
            for (method, there) in [
                ("GET", item.get.is_some()),
                ("PUT", item.put.is_some()),
                ("POST", item.post.is_some()),
                ("DELETE", item.delete.is_some()),
                ("PATCH", item.patch.is_some()),
            ] {
                if there {
                    operations += 1;
                    assert!(listed.contains(&format!("{method} {path}")), "{method} {path} has no permission");
                }
            }
        }
        assert!(operations > 50, "only {operations} operations are documented");
    });
}

#[test]
fn a_stranger_is_refused_by_every_other_route_and_changes_nothing() {
    on_both(|bench: Bench| async move {
        for permission in &bench.table {
            if matches!(permission.access, Access::Open | Access::Handler) {
                continue;
            }
            let path = permission
                .path
                .replace("{uuid}", "00000000-0000-4000-8000-000000000000")
                .replace("{image}", "00000000-0000-4000-8000-000000000000")
                .replace("{*rest}", "1.0")
                .replace("{name}", "x")
                .replace("{id}", "x");
            let method = if permission.method == "ANY" { "GET" } else { permission.method.as_str() };
            let (status, body) = bench.ask(Who::Stranger, method, &path, "{}").await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}: {body}");
            assert_eq!(body["error"], "unauthorized", "{method} {path}");
        }
        let (_, audit) = bench.ask(Who::Unix, "GET", "/1.0/audit", "").await;
        assert_eq!(audit["metadata"], serde_json::json!([]));
    });
}
