//! `cargo xtask check-deps`: which crate may use which, what must not be reached, and under which licences.
//!
//! The table is the picture in `docs/architecture.md`; a change of one is a change of the other.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::places;

/// A crate of ours, what it may use, and what its tests may use besides.
struct Arrows {
    package: &'static str,
    uses: &'static [&'static str],
    tests: &'static [&'static str],
}

const ARROWS: [Arrows; 11] = [
    Arrows { package: "muster-api", uses: &[], tests: &[] },
    Arrows { package: "muster-expr", uses: &[], tests: &[] },
    Arrows { package: "muster-domain", uses: &["muster-api"], tests: &[] },
    Arrows { package: "muster-store", uses: &["muster-api"], tests: &[] },
    Arrows { package: "muster-clients", uses: &["muster-api"], tests: &[] },
    Arrows {
        package: "muster-engine",
        uses: &["muster-api", "muster-domain", "muster-expr", "muster-store", "muster-clients", "muster-scriptlet"],
        tests: &["muster-sim"],
    },
    Arrows {
        package: "muster-server",
        uses: &["muster-api", "muster-domain", "muster-expr", "muster-store", "muster-clients", "muster-engine"],
        tests: &["muster-sim"],
    },
    Arrows { package: "muster-scriptlet", uses: &[], tests: &[] },
    Arrows { package: "muster-cli", uses: &["muster-api", "muster-clients"], tests: &[] },
    Arrows { package: "muster-sim", uses: &["muster-api", "muster-clients"], tests: &[] },
    Arrows { package: "xtask", uses: &[], tests: &[] },
];

/// Crates that decide must not be able to wait, to write or to talk.
const PURE: [&str; 2] = ["muster-domain", "muster-expr"];
const IMPURE: [&str; 7] = ["tokio", "mio", "rusqlite", "postgres", "hyper", "rustls", "reqwest"];

/// Nothing of ours may bring these in: a second crypto provider, or a TLS stack beside rustls.
const BANNED: [&str; 3] = ["ring", "openssl", "native-tls"];

/// Licences of what we link; each is compatible with Apache-2.0 and asks for no more than its text.
const LICENCES: [&str; 14] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "0BSD",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "OpenSSL",
    "Unicode-3.0",
    "Zlib",
];

/// Runs all checks and prints what is wrong.
pub fn run() -> Result<ExitCode> {
    let metadata = metadata()?;
    let mut wrong = arrows(&metadata)?;
    wrong.extend(licences(&metadata)?);
    for package in PURE {
        let reached = tree(&["-p", package])?;
        for name in IMPURE.iter().filter(|name| reached.iter().any(|r| r == *name)) {
            wrong.push(format!(
                "{package} reaches {name}: it must stay free of IO (see cargo tree -p {package} -i {name})"
            ));
        }
    }
    let all = tree(&["--workspace"])?;
    for name in BANNED.iter().filter(|name| all.iter().any(|r| r == *name)) {
        wrong.push(format!("{name} is in the tree, and must not be (see cargo tree --workspace -e normal -i {name})"));
    }
    for line in &wrong {
        println!("{line}");
    }
    println!("check-deps: {} packages, {} wrong", all.len(), wrong.len());
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn metadata() -> Result<Value> {
    let out = places::cargo().args(["metadata", "--format-version", "1", "--quiet"]).output()?;
    if !out.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    serde_json::from_slice(&out.stdout).context("cargo metadata is not JSON")
}

/// Names of all packages that are linked into the selected ones; each once. `cargo tree` and not the metadata's
/// graph, because that one has the features of all members together.
fn tree(selection: &[&str]) -> Result<Vec<String>> {
    let mut cargo = places::cargo();
    cargo.args(["tree", "--edges", "normal", "--prefix", "none", "--format", "{p}", "--quiet"]).args(selection);
    let out = cargo.output()?;
    if !out.status.success() {
        bail!("cargo tree: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    let text = String::from_utf8(out.stdout).context("cargo tree is not text")?;
    let mut names: Vec<String> = text.lines().filter_map(|l| l.split(' ').next()).map(str::to_owned).collect();
    names.retain(|name| !name.is_empty());
    names.sort();
    names.dedup();
    Ok(names)
}

fn packages(metadata: &Value) -> Result<&Vec<Value>> {
    metadata["packages"].as_array().context("cargo metadata has no packages")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Arrows between our crates that the table does not have. Ours are those that come from no registry.
fn arrows(metadata: &Value) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for package in packages(metadata)?.iter().filter(|p| p["source"].is_null()) {
        let name = text(package, "name");
        let Some(allowed) = ARROWS.iter().find(|a| a.package == name) else {
            wrong.push(format!("{name} is not in the table of arrows (xtask/src/checks.rs, docs/architecture.md)"));
            continue;
        };
        for used in package["dependencies"].as_array().into_iter().flatten().filter(|d| d["path"].is_string()) {
            let to = text(used, "name");
            let in_tests = used["kind"] == "dev";
            // A crate may take itself for its tests, to switch a feature on.
            let itself = in_tests && to == name;
            if itself || allowed.uses.contains(&to) || (in_tests && allowed.tests.contains(&to)) {
                continue;
            }
            let where_ = if in_tests { " in its tests" } else { "" };
            wrong.push(format!("{name} uses {to}{where_}, which is not an arrow of docs/architecture.md"));
        }
    }
    Ok(wrong)
}

/// Packages that come from somewhere else than a registry, or under a licence that was not looked at.
fn licences(metadata: &Value) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for package in packages(metadata)? {
        let (name, version) = (text(package, "name"), text(package, "version"));
        if text(package, "source").starts_with("git+") {
            wrong.push(format!("{name} {version} comes from git: use a release"));
        }
        let licence = text(package, "license");
        if !permitted(licence) {
            wrong.push(format!("{name} {version} has the licence {licence:?}, which is not in the list"));
        }
    }
    Ok(wrong)
}

/// Whether an SPDX expression leaves a choice that needs only licences of the list. Nested brackets do not occur
/// in practice; one that would is refused, not misread.
fn permitted(expression: &str) -> bool {
    let both = |text: &str| text.split(" AND ").all(|one| LICENCES.contains(&one.trim()));
    let either = |text: &str| text.replace('/', " OR ").split(" OR ").any(both);
    match expression.split_once(" AND ") {
        // `(A OR B) AND C`: every part must be satisfied by itself.
        Some(_) if expression.contains('(') => {
            expression.split(" AND ").all(|part| either(part.trim().trim_matches(['(', ')'])))
        }
        _ => either(expression.trim_matches(['(', ')'])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_arrow_that_points_up_is_named() {
        let package = |name: &str, uses: Value| json!({"name": name, "source": null, "dependencies": uses});
        let metadata = json!({"packages": [
            package("muster-domain", json!([{"name": "muster-api", "path": "/a", "kind": null},
                                            {"name": "serde", "kind": null}])),
            package("muster-store", json!([{"name": "muster-engine", "path": "/e", "kind": null}])),
            package("muster-engine", json!([{"name": "muster-sim", "path": "/s", "kind": "dev"}])),
            package("muster-cli", json!([{"name": "muster-sim", "path": "/s", "kind": "dev"}])),
            package("muster-other", json!([])),
        ]});
        let wrong = arrows(&metadata).unwrap();
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].starts_with("muster-store uses muster-engine,"), "{wrong:?}");
        assert!(wrong[1].starts_with("muster-cli uses muster-sim in its tests"), "{wrong:?}");
        assert!(wrong[2].starts_with("muster-other is not in the table"), "{wrong:?}");
    }

    #[test]
    fn a_licence_needs_one_way_that_is_open() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "MIT/Apache-2.0",
            "(MIT OR GPL-2.0) AND Unicode-3.0",
            "ISC AND (Apache-2.0 OR ISC)",
        ] {
            assert!(permitted(good), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(GPL-2.0 OR AGPL-3.0) AND MIT", "LGPL-2.1 OR GPL-2.0"] {
            assert!(!permitted(bad), "{bad}");
        }
    }
}
