//! Enrolments: the OS installed on a machine, which upstream calls a server (servers.md 2.1).

pub(crate) fn bmc_password_context(id: &str) -> String {
    format!("servers/{id}/bmc_password")
}

pub(crate) fn os_secrets_context(id: &str) -> String {
    format!("servers/{id}/os_secrets")
}
