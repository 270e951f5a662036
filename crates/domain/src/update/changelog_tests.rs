use serde_json::json;

use super::*;

fn manifest(packages: &[(&str, &str)], artifacts: &[(&str, &str)]) -> Manifest {
    let list = |items: &[(&str, &str)]| -> Vec<_> {
        items.iter().map(|(name, version)| json!({"name": name, "version": version, "architecture": "amd64"})).collect()
    };
    let text = json!({"manifest_version": 1, "packages": list(packages), "artifacts": list(artifacts)}).to_string();
    Manifest::parse(text.as_bytes()).unwrap()
}

fn file(name: &str, kind: &str) -> File {
    let text = str::to_owned;
    let (component, architecture) = (text("os"), text("x86_64"));
    File { filename: text(name), size: 1, sha256: String::new(), component, kind: text(kind), architecture }
}

#[test]
fn components_are_named_after_their_manifest() {
    let os = file("x86_64/IncusOS_202511010000.manifest.json.gz", KIND);
    assert_eq!(component(&os, "202511010000", "x86_64").as_deref(), Some("IncusOS"));
    assert_eq!(component(&os, "1", "x86_64").as_deref(), Some("IncusOS_202511010000"));
    assert_eq!(component(&os, "202511010000", "aarch64"), None);
    assert_eq!(component(&os, "202511010000", "x86"), None);
    let application = file("x86_64/incus-lts-7.0.manifest.json.gz", KIND);
    assert_eq!(component(&application, "1", "x86_64").as_deref(), Some("incus-lts-7.0"));
    assert_eq!(component(&file("x86_64/incus.raw.gz", "application"), "1", "x86_64"), None);
    assert_eq!(component(&file("x86_64/incus.manifest.json.gz", "application"), "1", "x86_64"), None);
    assert_eq!(architecture(std::slice::from_ref(&os), "aarch64"), "x86_64");
    assert_eq!(architecture(&[file("aarch64/incus.manifest.json.gz", KIND)], "aarch64"), "aarch64");
}

#[test]
fn changes_are_told_in_the_order_of_the_manifests() {
    let prior =
        manifest(&[("zlib", "1"), ("bash", "5"), ("gone", "2"), ("same", "9")], &[("kernel", "6.1"), ("old", "1")]);
    let current =
        manifest(&[("new-z", "1"), ("new-a", "2"), ("bash", "6"), ("zlib", "2"), ("same", "9")], &[("kernel", "6.2")]);
    let entries = compare(&prior, &current);
    assert_eq!(entries.added, ["new-z version 1", "new-a version 2"]);
    let updated = ["zlib version 1 to version 2", "bash version 5 to version 6", "kernel version 6.1 to version 6.2"];
    assert_eq!(entries.updated, updated);
    assert_eq!(entries.removed, ["gone version 2", "old version 1"]);
}

#[test]
fn names_that_are_there_several_times_gain_and_lose_versions() {
    let prior = manifest(&[("linux", "6.1"), ("linux", "6.2")], &[]);
    let current = manifest(&[("linux", "6.2"), ("linux", "6.3"), ("linux", "6.3")], &[]);
    let entries = compare(&prior, &current);
    let changes = (entries.added.as_slice(), entries.removed.as_slice(), entries.updated.len());
    assert_eq!(changes, (["linux version 6.3".to_owned()].as_slice(), ["linux version 6.1".to_owned()].as_slice(), 0));
    assert_eq!(compare(&current, &manifest(&[("linux", "6.3")], &[])).removed, ["linux version 6.2"]);
}

#[test]
fn a_channels_history_compares_each_update_with_the_one_before() {
    let manifests = |version: &str| -> Manifests {
        BTreeMap::from([
            ("IncusOS".to_owned(), manifest(&[("linux", version), ("base", "1")], &[])),
            ("debug".to_owned(), manifest(&[("gdb", "1")], &[])),
        ])
    };
    let (one, two, three) = (manifests("1"), manifests("2"), manifests("3"));
    let mut releases = [
        Release { version: "202511020000", manifests: &two },
        Release { version: "x", manifests: &one },
        Release { version: "202511030000", manifests: &three },
    ];
    newest_first(&mut releases);
    let pairs = history(&releases, "stable");
    let told: Vec<_> = pairs.iter().map(|c| (c.current_version.as_str(), c.prior_version.as_str())).collect();
    assert_eq!(told, [("202511030000", "202511020000"), ("202511020000", "x")]);
    for (pair, updated) in pairs.iter().zip(["linux version 2 to version 3", "linux version 1 to version 2"]) {
        let components = pair.components.as_ref().unwrap();
        assert_eq!(components.keys().collect::<Vec<_>>(), ["IncusOS"], "what did not change is left out");
        assert_eq!(components["IncusOS"].updated, [updated]);
        assert_eq!(pair.channel, "stable");
    }
    assert_eq!(of(&releases, "202511020000", "stable").unwrap(), pairs[1]);
    let oldest = of(&releases, "x", "stable").unwrap();
    assert_eq!((oldest.prior_version.as_str(), oldest.components.unwrap()["debug"].added.len()), ("", 1));
    assert_eq!(of(&releases, "202511040000", "stable"), None);
    assert_eq!(history(&releases[..1], "stable")[0].prior_version, "");
    assert_eq!(history(&[], "stable"), []);
}

#[test]
fn a_component_that_an_update_does_not_carry_is_not_removed_by_it() {
    let whole = BTreeMap::from([("IncusOS".to_owned(), manifest(&[("linux", "1")], &[]))]);
    let part = BTreeMap::from([("incus".to_owned(), manifest(&[("incus", "7")], &[]))]);
    let changelog = between(
        &Release { version: "2", manifests: &part },
        Some(&Release { version: "1", manifests: &whole }),
        "stable",
    );
    assert_eq!(changelog.components.unwrap().keys().collect::<Vec<_>>(), ["incus"]);
}

#[test]
fn hostile_manifests_are_refused_by_field() {
    let long = json!({"artifacts": [{"name": "a"}, {"name": "x".repeat(513)}]}).to_string();
    let many = json!({"packages": vec![json!({}); ITEMS_LIMIT + 1]}).to_string();
    for (text, message) in [
        ("[".repeat(200_000).as_str(), "the document of the manifest cannot be read"),
        (r#"{"packages":[{"name":1}]}"#, "packages[0].name of the manifest cannot be read"),
        (r#"{"packages":{}}"#, "packages of the manifest cannot be read"),
        (long.as_str(), "artifacts[1] of the manifest has a name or version longer than 512 bytes"),
        (many.as_str(), "packages of the manifest has 100001 entries"),
        (" ".repeat(MANIFEST_LIMIT + 1).as_str(), "the manifest has 33554433 bytes"),
    ] {
        let error = Manifest::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    assert_eq!(Manifest::parse(br#"{"packages":null}"#).unwrap().items.len(), 0);
}
