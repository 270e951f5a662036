//! Filter expressions on machines: compiled once a request, run on each machine as it is listed.

use crate::error::ApiError;
use muster_api::{machine::Machine, time::Time};
use muster_engine::Error;
use muster_expr::{Program, Schema, StructType, Type};
use serde_json::{Value, json};

/// A compiled filter.
pub struct MachineFilter(Program);

/// Compiles a filter; none when empty.
///
/// # Errors
/// 400 that points at the place.
pub fn compile(source: &str) -> Result<Option<MachineFilter>, ApiError> {
    if source.is_empty() {
        return Ok(None);
    }
    match muster_expr::compile(source, &schema()) {
        Ok(program) => Ok(Some(MachineFilter(program))),
        Err(e) => Err(Error::Invalid(format!("Failed to compile filter expression: {e}")).into()),
    }
}

impl MachineFilter {
    /// Whether a machine is kept.
    ///
    /// # Errors
    /// 400 when the expression fails on it.
    pub fn matches(&self, machine: &Machine, now: jiff::Timestamp) -> Result<bool, ApiError> {
        let mut row = serde_json::to_value(machine).map_err(|e| Error::Internal(e.to_string()))?;
        // What is not there can be asked for all the same: it is empty.
        for (key, empty) in empty() {
            if let (Some(there), Value::Object(empty)) = (row.get_mut(key), empty) {
                if there.is_null() {
                    *there = Value::Object(empty);
                } else if let Value::Object(there) = there {
                    for (name, value) in empty {
                        there.entry(name).or_insert(value);
                    }
                }
            }
        }
        let failed = |e| Error::Invalid(format!("Failed to execute filter expression: {e}")).into();
        self.0.matches(&row, now).map_err(failed)
    }
}

fn empty() -> [(&'static str, Value); 4] {
    [
        ("operation", json!({"kind": "", "method": "", "phase": ""})),
        (
            "allocation",
            json!({"kind": "", "owner": "", "reference": "", "subscription": "", "since": Time::from_micros(0)}),
        ),
        ("reservation", json!({"subscription": "", "holder": ""})),
        ("asset", json!({"site": "", "rack": "", "inventory_number": "", "tags": [], "properties": {}})),
    ]
}

fn record(name: &'static str, fields: &[(&'static str, Type)]) -> Type {
    fields.iter().fold(StructType::new(name), |record, (field, ty)| record.field(field, ty.clone())).into_type()
}

fn texts(name: &'static str, fields: &[&'static str]) -> Type {
    fields.iter().fold(StructType::new(name), |record, field| record.field(field, Type::Str)).into_type()
}

/// Everything that a filter on machines may name.
fn schema() -> Schema {
    let allocation = StructType::new("Allocation")
        .field("kind", Type::Str)
        .field("owner", Type::Str)
        .field("reference", Type::Str)
        .field("subscription", Type::Str)
        .field("since", Type::Time)
        .into_type();
    let asset = StructType::new("Asset")
        .field("site", Type::Str)
        .field("rack", Type::Str)
        .field("lower_unit", Type::Int)
        .field("upper_unit", Type::Int)
        .field("inventory_number", Type::Str)
        .field("tags", Type::Str.list())
        .field("properties", Type::Str.map())
        .into_type();
    let flags = ["retire", "hold", "protected", "requires_re_register"].map(|name| (name, Type::Bool));
    let alerts = ["prevent_allocation", "blocking"].map(|name| (name, Type::Bool));
    Schema::new()
        .field("id", Type::Str)
        .field("lifecycle", Type::Str)
        .field("since", Type::Time)
        .field("operation", texts("MachineOperation", &["kind", "method", "phase"]))
        .field("media", Type::Str)
        .field("allocation", allocation)
        .field("reservation", texts("Reservation", &["subscription", "holder"]))
        .field("server_type", Type::Str)
        .field("type_match", Type::Str)
        .field("flags", record("Flags", &flags))
        .field("alerts", record("AlertClasses", &alerts))
        .field("asset", asset)
        .field("system_uuid", Type::Str)
        .field("machine_id", Type::Str)
        .field("serial", Type::Str)
        .field("vendor", Type::Str)
        .field("server", Type::Str)
        .field("needs_manual_cleaning", Type::Bool)
        .field("successor_of", Type::Str)
        .field("created_at", Type::Time)
}
