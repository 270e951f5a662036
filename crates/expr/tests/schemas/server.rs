//! The servers environment (servers.md 3.3). The row is an object with these keys; `cluster`,
//! `system_uuid` and `machine_id` are null when unset.

use muster_expr::{Schema, StructType, Type};

fn record(name: &'static str, fields: &[(&'static str, Type)]) -> Type {
    fields.iter().fold(StructType::new(name), |record, (field, ty)| record.field(field, ty.clone())).into_type()
}

fn texts(name: &'static str, fields: &[&'static str]) -> StructType {
    fields.iter().fold(StructType::new(name), |record, field| record.field(field, Type::Str))
}

fn hardware() -> Type {
    let cpu = StructType::new("api.ResourcesCPU")
        .field_as("Architecture", "architecture", Type::Str)
        .field_as("Sockets", "sockets", Type::Any.list())
        .field_as("Total", "total", Type::Int);
    let memory = StructType::new("api.ResourcesMemory")
        .field_as("Nodes", "nodes", Type::Any.list())
        .field_as("HugepagesTotal", "hugepages_total", Type::Int)
        .field_as("Used", "used", Type::Int)
        .field_as("Total", "total", Type::Int);
    let count = |name, list, key| StructType::new(name).field_as(list, key, Type::Any.list());
    let with_total = |record: StructType| record.field_as("Total", "total", Type::Int).into_type();
    let system = [
        ("UUID", "uuid"),
        ("Vendor", "vendor"),
        ("Product", "product"),
        ("Family", "family"),
        ("Version", "version"),
        ("Sku", "sku"),
        ("Serial", "serial"),
        ("Type", "type"),
    ]
    .into_iter()
    .fold(StructType::new("api.ResourcesSystem"), |record, (name, key)| record.field_as(name, key, Type::Str));
    StructType::new("api.HardwareData")
        .field_as("CPU", "cpu", cpu.into_type())
        .field_as("Memory", "memory", memory.into_type())
        .field_as("GPU", "gpu", with_total(count("api.ResourcesGPU", "Cards", "cards")))
        .field_as("Network", "network", with_total(count("api.ResourcesNetwork", "Cards", "cards")))
        .field_as("Storage", "storage", with_total(count("api.ResourcesStorage", "Disks", "disks")))
        .field_as("USB", "usb", with_total(count("api.ResourcesUSB", "Devices", "devices")))
        .field_as("PCI", "pci", with_total(count("api.ResourcesPCI", "Devices", "devices")))
        .field_as("System", "system", system.into_type())
        .field_as("Load", "load", Type::Any)
        .into_type()
}

fn os_data() -> Type {
    let dns = texts("api.SystemNetworkDNS", &["hostname", "domain"])
        .field("search_domains", Type::Str.list())
        .field("nameservers", Type::Str.list());
    let config = StructType::new("api.SystemNetworkConfig")
        .field("interfaces", Type::Any.list())
        .field("bonds", Type::Any.list())
        .field("vlans", Type::Any.list())
        .field("dns", dns.into_type())
        .field("time", Type::Any)
        .field("proxy", Type::Any);
    let network = record("api.SystemNetwork", &[("config", config.into_type()), ("state", Type::Any)]);
    let state = StructType::new("api.SystemSecurityState")
        .field("secure_boot_enabled", Type::Bool)
        .field("system_state_is_trusted", Type::Bool)
        .field("tpm_status", Type::Str);
    let security = record("api.SystemSecurity", &[("config", Type::Any), ("state", state.into_type())]);
    let storage = record("api.SystemStorage", &[("config", Type::Any), ("state", Type::Any)]);
    record("api.OSData", &[("network", network), ("security", security), ("storage", storage)])
}

fn version_data() -> Type {
    let os = texts("api.OSVersionData", &["name", "version", "version_next"])
        .field("available_version", Type::Str.optional())
        .field("needs_reboot", Type::Bool)
        .field("needs_update", Type::Bool.optional());
    let application = texts("api.ApplicationVersionData", &["name", "version", "friendly_version"])
        .field("available_version", Type::Str.optional())
        .field("needs_update", Type::Bool.optional())
        .field("in_maintenance", Type::Int.named("api.InMaintenanceState"));
    StructType::new("api.ServerVersionData")
        .field("os", os.into_type())
        .field("applications", application.into_type().list())
        .field("update_channel", Type::Str)
        .field("needs_update", Type::Bool.optional())
        .field("needs_reboot", Type::Bool.optional())
        .field("in_maintenance", Type::Int.named("api.InMaintenanceState").optional())
        .into_type()
}

/// Everything a filter on server objects may name.
pub fn objects() -> Schema {
    let bmc_config = StructType::new("api.BMCConfig")
        .field("api_type", Type::Str.named("api.BMCAPIType"))
        .field("endpoint", Type::Str)
        .field("username", Type::Str)
        .field("password", Type::Str)
        .into_type();
    Schema::new()
        .field("cluster", Type::Str.optional())
        .field("name", Type::Str)
        .field("type", Type::Str.named("api.ServerType"))
        .field("connection_url", Type::Str)
        .field("public_connection_url", Type::Str)
        .field("certificate", Type::Str)
        .field("fingerprint", Type::Str)
        .field("cluster_certificate", Type::Str.optional())
        .field("cluster_connection_url", Type::Str.optional())
        .field("hardware_data", hardware())
        .field("os_data", os_data())
        .field("version_data", version_data())
        .field("channel", Type::Str)
        .field("status", Type::Str.named("api.ServerStatus"))
        .field("status_detail", Type::Str.named("api.ServerStatusDetail"))
        .field("description", Type::Str)
        .field("properties", Type::Str.map().named("api.ConfigMap"))
        .field("bmc_config", bmc_config)
        .field("registration_token", Type::Uuid.optional())
        .field("system_uuid", Type::Str.optional())
        .field("machine_id", Type::Str.optional())
        .field("bmc_data", Type::Any)
        .field("last_updated", Type::Time)
        .field("last_seen", Type::Time)
        .field("last_status_updated", Type::Time)
}

/// What a filter on server names may name (servers.md 3.2).
pub fn names() -> Schema {
    Schema::new().field("name", Type::Str)
}
