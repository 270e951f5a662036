//! Machines that are named in advance, or taken over as they are (`lifecycle.md` 1.3 b1, b2).

use crate::{
    Actor, Engine, Error,
    machine::{self, By, New},
    services::audit,
};
use muster_api::machine::{ClaimPost, MachineBmc, MachinePost};
use muster_domain::machine::{
    asset::{self, Fault, faults},
    axes::{AllocationKind, Claim},
    birth::Birth,
};
use muster_store::{
    Secret, StoreError,
    tables::machines::{self, Identity},
};
use uuid::Uuid;

/// What a request says, checked.
struct Checked {
    identity: Identity,
    asset: String,
    bmc: Option<MachineBmc>,
    password: Option<Secret>,
    adopt: Option<Claim>,
    note: String,
}

/// Makes a record for hardware that is there or on its way; answers its id. It waits for its operating system to register.
///
/// # Errors
/// [`Error::Invalid`] with every field at fault, [`Error::Constraint`] when a machine in service has one of its identities.
pub async fn create(engine: &Engine, actor: &Actor, post: MachinePost) -> Result<String, Error> {
    let checked = check(post).map_err(|found| Error::Invalid(format!("Invalid machine, {}", faults(&found))))?;
    let (id, now, actor) = (Uuid::now_v7().to_string(), engine.clock().micros(), actor.clone());
    let made = id.clone();
    let done = engine.store().write(move |tx| {
        if let Some(known) = machines::find_by_identity(tx, &checked.identity)?.first() {
            return Ok(Err(Error::Constraint(format!(
                "machine {} ({}) has this hardware identity already; decommission it first, or edit it",
                known.id, known.lifecycle
            ))));
        }
        let tombstone = machines::find_decommissioned(tx, &checked.identity)?;
        let media = tombstone.as_ref().map(|row| machine::load(row, None)).transpose()?.map(|m| m.media);
        let bmc = checked.bmc.is_some();
        let (birth, reason) = match &checked.adopt {
            Some(claim) => (Birth::Adopted { claim: claim.clone(), bmc }, "adopted as it is"),
            None => (Birth::PreRegistered { bmc, predecessor: media }, "named in advance"),
        };
        let new = New {
            identity: checked.identity.clone(),
            predecessor: tombstone.map(|row| row.id),
            asset: checked.asset.clone(),
            bmc: checked.bmc.as_ref().map(|bmc| serde_json::to_string(bmc).unwrap_or_default()).unwrap_or_default(),
        };
        let by = By::new(&actor.0, reason, now);
        machine::create(tx, &id, new, &birth, by)?;
        machines::set_bmc_password(tx, &id, checked.password.as_ref())?;
        audit::append(tx, &audit::entry(now, &actor, "machine.create", "machine", &id))?;
        if !checked.note.is_empty() {
            machine::note(tx, &id, "note", &checked.note, by)?;
        }
        Ok::<_, StoreError>(Ok(()))
    });
    done.await??;
    Ok(made)
}

/// Every fault at once.
fn check(post: MachinePost) -> Result<Checked, Vec<Fault>> {
    let mut found = Vec::new();
    let mut take = |result: Result<Option<String>, Vec<Fault>>| {
        result.unwrap_or_else(|faults| {
            found.extend(faults);
            None
        })
    };
    let uuid = take(asset::identity("system_uuid", &post.system_uuid)).map(|uuid| uuid.to_ascii_lowercase());
    let serial = take(asset::identity("serial", &post.serial));
    let vendor = take(asset::identity("vendor", &post.vendor));
    let note = take(asset::note("note", &post.note).map(Some)).unwrap_or_default();
    let kept = asset::asset(post.asset, "asset").unwrap_or_else(|faults| {
        found.extend(faults);
        Default::default()
    });
    let bmc = post.bmc.and_then(|bmc| asset::bmc(bmc, "bmc").map_err(|faults| found.extend(faults)).ok());
    let adopt = post.adopt.and_then(|adopt| claim(&adopt, "adopt").map_err(|faults| found.extend(faults)).ok());
    if vendor.is_some() && serial.is_none() {
        found.push(Fault { field: "serial".into(), why: "is missing beside vendor".into() });
    }
    if uuid.is_none() && bmc.is_none() {
        let why = "is missing; without it or a BMC nothing tells which machine is meant. Where only serial number or MAC \
                   address are known, add it to the expected machines";
        found.push(Fault { field: "system_uuid".into(), why: why.into() });
    }
    if adopt.is_some() && uuid.is_none() {
        let why = "is missing; a machine in production is recognised by it when its operating system registers";
        found.push(Fault { field: "system_uuid".into(), why: why.into() });
    }
    if !found.is_empty() {
        return Err(found);
    }
    let mac = bmc.as_ref().map(|bmc| bmc.mac.clone()).filter(|mac| !mac.is_empty());
    let (bmc, password) = split(bmc);
    Ok(Checked {
        identity: Identity {
            system_uuid: uuid,
            machine_id: None,
            serial: serial.map(|serial| (serial, vendor.unwrap_or_default())),
            bmc_mac: mac,
        },
        asset: serde_json::to_string(&kept).unwrap_or_default(),
        bmc,
        password,
        adopt,
        note,
    })
}

/// What is kept in the open of a BMC, where its password is masked, and the password.
pub(crate) fn split(bmc: Option<MachineBmc>) -> (Option<MachineBmc>, Option<Secret>) {
    let Some(bmc) = bmc else { return (None, None) };
    let secret = (!bmc.password.is_empty()).then(|| Secret::new(bmc.password.clone()));
    let mask = if secret.is_some() { muster_api::provisioning::server::MASK } else { "" };
    (Some(MachineBmc { password: mask.into(), ..bmc }), secret)
}

/// Whose a machine is, checked.
pub(super) fn claim(post: &ClaimPost, at: &str) -> Result<Claim, Vec<Fault>> {
    let name = |field: &str| if at.is_empty() { field.to_owned() } else { format!("{at}.{field}") };
    let mut found = Vec::new();
    let owner = asset::party(&name("owner"), &post.owner).unwrap_or_else(|faults| {
        found.extend(faults);
        String::new()
    });
    let reference = match post.reference.trim() {
        "" => owner.clone(),
        text => asset::party(&name("reference"), text).unwrap_or_else(|faults| {
            found.extend(faults);
            String::new()
        }),
    };
    let kind = match post.kind.as_str() {
        "" | "standalone" => AllocationKind::Standalone,
        "appliance" => AllocationKind::Appliance,
        other => {
            let why =
                format!("{other:?} is none of standalone, appliance; members of clusters are taken by the cluster");
            found.push(Fault { field: name("kind"), why });
            AllocationKind::Standalone
        }
    };
    if found.is_empty() { Ok(Claim { owner, kind, reference }) } else { Err(found) }
}

#[cfg(test)]
mod tests {
    use super::{super::view, *};

    #[test]
    fn every_fault_of_a_new_machine_is_told_at_once() {
        let post = MachinePost {
            vendor: "ACME".into(),
            bmc: Some(MachineBmc { endpoint: "http://198.51.100.1".into(), ..MachineBmc::default() }),
            adopt: Some(ClaimPost { kind: "cluster".into(), ..ClaimPost::default() }),
            ..MachinePost::default()
        };
        let Err(found) = check(post) else { panic!("it was taken") };
        let fields: Vec<_> = found.iter().map(|f| f.field.as_str()).collect();
        assert_eq!(fields, ["bmc.endpoint", "adopt.owner", "adopt.kind", "serial", "system_uuid"]);
        assert_eq!(view::word(&AllocationKind::Standalone), "standalone");
    }

    #[test]
    fn a_password_is_kept_apart() {
        let post = MachinePost {
            bmc: Some(MachineBmc {
                endpoint: "https://198.51.100.1".into(),
                password: "calvin".into(),
                mac: "52-54-00-00-00-01".into(),
                ..MachineBmc::default()
            }),
            ..MachinePost::default()
        };
        let Ok(checked) = check(post) else { panic!("it was refused") };
        assert_eq!(checked.identity.bmc_mac.as_deref(), Some("52:54:00:00:00:01"));
        assert_eq!(checked.password.as_ref().map(|p| p.expose()), Some("calvin"));
        assert!(!serde_json::to_string(&checked.bmc).unwrap().contains("calvin"));
    }
}
