//! The server type of a machine: found by the fingerprint of its hardware, or made (`lifecycle.md` 2).

use crate::services::audit;
use muster_domain::hardware::{Fingerprint, Inventory, Specification, server_type::VERSION};
use muster_store::{
    StoreError, Tx,
    tables::server_types::{self, ServerType},
};
use serde_json::json;

/// Whether hardware is of a type.
pub(super) fn matches(tx: &mut Tx<'_>, inventory: &Inventory, id: &str) -> Result<bool, StoreError> {
    let found = server_types::find(tx, Fingerprint::of(&Specification::of(inventory)).as_str())?;
    Ok(found.is_some_and(|kind| kind.id == id))
}

/// The type of hardware; made when there is none yet, under a label that is not taken.
pub(super) fn of(tx: &mut Tx<'_>, inventory: &Inventory, now: i64) -> Result<ServerType, StoreError> {
    let specification = Specification::of(inventory);
    let fingerprint = Fingerprint::of(&specification);
    if let Some(kind) = server_types::find(tx, fingerprint.as_str())? {
        return Ok(kind);
    }
    let label = free_label(tx, &specification.label())?;
    let kind = ServerType {
        id: uuid::Uuid::now_v7().to_string(),
        label,
        specification: serde_json::to_string(&specification).unwrap_or_default(),
        created_at: now,
        generation: 1,
        ..ServerType::default()
    };
    server_types::insert(tx, &kind)?;
    server_types::add_fingerprint(tx, &kind.id, fingerprint.as_str(), i64::from(VERSION))?;
    let mut entry = audit::by(now, "system", "server-type.create", "server-type", &kind.id);
    entry.detail = json!({"label": kind.label, "fingerprint": fingerprint.as_str()}).to_string();
    audit::append(tx, &entry)?;
    Ok(kind)
}

/// Types that differ in what the label does not say are numbered.
fn free_label(tx: &mut Tx<'_>, label: &str) -> Result<String, StoreError> {
    let mut free = label.to_owned();
    let mut number = 2_u32;
    while server_types::get_by_label(tx, &free)?.is_some() {
        free = format!("{label}-{number}");
        number = number.saturating_add(1);
    }
    Ok(free)
}

/// The label of a type, for people; its id where it is gone.
pub(super) fn label(tx: &mut Tx<'_>, id: &str) -> Result<String, StoreError> {
    Ok(server_types::get(tx, id)?.map_or_else(|| id.to_owned(), |kind| kind.label))
}
