//! The inventory environments and sample rows of inventory.md 8.10.

use muster_expr::{CodeType, Schema, StructType, Type};
use serde_json::{Value, json};

/// Status codes of Incus (inventory.md 8.7).
pub static STATUS_CODE: CodeType = CodeType {
    name: "api.StatusCode",
    texts: &[
        (100, "Operation created"),
        (101, "Started"),
        (102, "Stopped"),
        (103, "Running"),
        (104, "Cancelling"),
        (105, "Pending"),
        (106, "Starting"),
        (107, "Stopping"),
        (108, "Aborting"),
        (109, "Freezing"),
        (110, "Frozen"),
        (111, "Thawed"),
        (112, "Error"),
        (113, "Ready"),
        (200, "Success"),
        (400, "Failure"),
        (401, "Cancelled"),
    ],
};

fn config() -> Type {
    Type::Str.map().named("api.ConfigMap")
}

fn devices() -> Type {
    Type::Str.map().map().named("api.DevicesMap")
}

fn add(record: StructType, fields: &[(&'static str, Type)]) -> StructType {
    fields.iter().fold(record, |record, (name, ty)| record.field(name, ty.clone()))
}

fn texts(name: &'static str, fields: &[&'static str]) -> StructType {
    fields.iter().fold(StructType::new(name), |record, field| record.field(field, Type::Str))
}

fn ints(name: &'static str, fields: &[&'static str]) -> Type {
    fields.iter().fold(StructType::new(name), |record, field| record.field(field, Type::Int)).into_type()
}

fn instance_object() -> Type {
    let address = texts("api.InstanceStateNetworkAddress", &["family", "address", "netmask", "scope"]);
    let network = add(
        texts("api.InstanceStateNetwork", &["hwaddr", "host_name", "state", "type"]),
        &[
            ("addresses", address.into_type().list()),
            ("counters", ints("api.InstanceStateNetworkCounters", &["bytes_received", "bytes_sent"])),
            ("mtu", Type::Int),
        ],
    );
    let os_info = texts("api.InstanceStateOSInfo", &["os", "os_version", "kernel_version", "hostname", "fqdn"]);
    let state = add(
        StructType::new("api.InstanceState"),
        &[
            ("status", Type::Str),
            ("status_code", Type::Code(&STATUS_CODE)),
            ("disk", ints("api.InstanceStateDisk", &["usage", "total"]).map()),
            ("memory", ints("api.InstanceStateMemory", &["usage", "usage_peak", "total"])),
            ("network", network.into_type().map()),
            ("pid", Type::Int),
            ("processes", Type::Int),
            ("cpu", ints("api.InstanceStateCPU", &["usage", "allocated_time"])),
            ("started_at", Type::Time),
            ("os_info", os_info.into_type()),
        ],
    );
    let backup = add(
        StructType::new("api.InstanceBackup"),
        &[("name", Type::Str), ("created_at", Type::Time), ("expires_at", Type::Time)],
    );
    let snapshot = add(
        StructType::new("api.InstanceSnapshot"),
        &[("name", Type::Str), ("created_at", Type::Time), ("config", config()), ("size", Type::Int)],
    );
    add(
        StructType::new("inventory.ExprIncusInstanceFullWrapper"),
        &[
            ("architecture", Type::Str),
            ("config", config()),
            ("devices", devices()),
            ("ephemeral", Type::Bool),
            ("profiles", Type::Str.list()),
            ("stateful", Type::Bool),
            ("description", Type::Str),
            ("created_at", Type::Time),
            ("expanded_config", config()),
            ("expanded_devices", devices()),
            ("name", Type::Str),
            ("status", Type::Str),
            ("status_code", Type::Code(&STATUS_CODE)),
            ("last_used_at", Type::Time),
            ("location", Type::Str),
            ("type", Type::Str),
            ("project", Type::Str),
            ("backups", backup.into_type().list()),
            ("state", state.into_type()),
            ("snapshots", snapshot.into_type().list()),
        ],
    )
    .into_type()
}

fn base(object: Type) -> Schema {
    Schema::new()
        .field("uuid", Type::Uuid)
        .field("cluster", Type::Str)
        .field("name", Type::Str)
        .field("object", object)
        .field("last_updated", Type::Time)
}

pub fn instances() -> Schema {
    base(instance_object()).field("server", Type::Str).field("project", Type::Str)
}

pub fn volumes() -> Schema {
    let usage = ints("api.StorageVolumeStateUsage", &["used", "total"]);
    let object = add(
        texts(
            "inventory.ExprIncusStorageVolumeFullWrapper",
            &["description", "name", "type", "location", "content_type"],
        ),
        &[
            ("config", config()),
            ("used_by", Type::Str.list()),
            ("state", StructType::new("api.StorageVolumeState").field("usage", usage).into_type()),
        ],
    );
    base(object.into_type())
        .field("server", Type::Str.optional())
        .field("project", Type::Str)
        .field("storage_pool_name", Type::Str)
        .field("type", Type::Str)
}

pub fn networks() -> Schema {
    let object = add(
        texts("inventory.ExprIncusNetworkWrapper", &["description", "name", "type", "status", "project"]),
        &[
            ("config", config()),
            ("managed", Type::Bool),
            ("used_by", Type::Str.list()),
            ("locations", Type::Str.list()),
        ],
    );
    base(object.into_type()).field("project", Type::Str)
}

pub fn buckets() -> Schema {
    let key = texts("api.StorageBucketKey", &["description", "role", "access-key", "secret-key", "name"]);
    let object = add(
        texts("inventory.ExprIncusStorageBucketFullWrapper", &["description", "name", "s3_url", "location"]),
        &[("config", config()), ("keys", key.into_type().list())],
    );
    base(object.into_type())
        .field("server", Type::Str.optional())
        .field("project", Type::Str)
        .field("storage_pool_name", Type::Str)
}

pub fn aggregate() -> Schema {
    ["kind", "cluster_name", "server_name", "project_name", "parent_name", "name"]
        .into_iter()
        .fold(Schema::new(), |schema, name| schema.field(name, Type::Str))
        .field("object", Type::Any)
}

pub fn uuids() -> Schema {
    Schema::new().field("uuid", Type::Str).without_to_float64()
}

const UUID: &str = "6c43034d-d067-57ad-8493-89cb65df4d29";

/// Schema and row by the short names of inventory.md 8.10; `list` is a list without recursion.
pub fn sample(row: &str) -> (Schema, Value) {
    let volume = |server: Value| {
        json!({
            "uuid": UUID, "cluster": "c1", "server": server, "project": "default", "name": "vol1", "type": "custom",
            "storage_pool_name": "local", "last_updated": "2026-08-20T01:02:03Z",
            "object": {"name": "vol1", "type": "custom", "config": {"size": "10GiB"},
                       "used_by": ["/1.0/instances/a"], "state": null},
        })
    };
    match row {
        "in" => (
            instances(),
            json!({
                "uuid": UUID, "cluster": "c1", "server": "server1", "project": "default", "name": "vm1",
                "last_updated": "2026-08-20T01:02:03Z",
                "object": {
                    "name": "vm1", "status": "Running", "status_code": 103, "config": {"limits.cpu": "4"},
                    "devices": {"root": {"type": "disk", "pool": "local"}}, "profiles": ["default"],
                    "state": {"status": "Running", "processes": 12, "cpu": {"usage": 1_500_000_000u64}},
                },
            }),
        ),
        "sv" => (volumes(), volume(json!("server1"))),
        "svn" => (volumes(), volume(Value::Null)),
        "nw" => (
            networks(),
            json!({
                "uuid": UUID, "cluster": "c1", "project": "default", "name": "incusbr0",
                "object": {"name": "incusbr0", "managed": true, "config": {"ipv4.address": "10.1.0.1/24"},
                           "used_by": ["/1.0/profiles/default"]},
            }),
        ),
        "bk" => (
            buckets(),
            json!({
                "uuid": UUID, "cluster": "c1", "name": "bucket", "project": "default", "storage_pool_name": "local",
                "object": {"name": "bucket", "keys": [{"name": "k", "access-key": "AK"}]},
            }),
        ),
        "ag" => (
            aggregate(),
            json!({
                "kind": "instance", "cluster_name": "c1", "server_name": "", "project_name": "default",
                "parent_name": "", "name": "vm1",
                "object": {
                    "name": "vm1", "status": "Running", "status_code": 103, "config": {"limits.cpu": "4"},
                    "state": {"cpu": {"usage": 1500}}, "profiles": ["default"],
                    "created_at": "2026-08-01T00:00:00Z",
                },
            }),
        ),
        "list" => (uuids(), json!({"uuid": UUID})),
        other => panic!("no sample row {other}"),
    }
}
