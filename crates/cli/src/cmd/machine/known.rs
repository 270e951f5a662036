//! What is known of a machine beforehand, as arguments.

use crate::context::read_file;
use crate::error::Result;
use clap::Args;
use muster_api::machine::{Asset, MachineBmc};

/// Who it is, where it stands and how its BMC is reached.
#[derive(Debug, Args)]
pub(crate) struct KnownArgs {
    /// SMBIOS system UUID, by which it is recognised when it registers
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) uuid: String,
    /// Serial number
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) serial: String,
    /// Site
    #[arg(long, default_value = "", hide_default_value = true)]
    site: String,
    /// Rack
    #[arg(long, default_value = "", hide_default_value = true)]
    rack: String,
    /// Units in the rack, e.g. 3 or 3-4
    #[arg(long, value_parser = units)]
    units: Option<(u16, u16)>,
    /// Number in the inventory of the house
    #[arg(long, default_value = "", hide_default_value = true)]
    inventory_number: String,
    /// A tag; may be given several times
    #[arg(long = "tag")]
    tags: Vec<String>,
    /// https:// address of its BMC
    #[arg(long)]
    bmc_endpoint: Option<String>,
    /// User of the BMC
    #[arg(long, default_value = "", hide_default_value = true, requires = "bmc_endpoint")]
    bmc_username: String,
    /// File with the password of the BMC; - reads standard input
    #[arg(long, requires = "bmc_endpoint")]
    bmc_password_file: Option<String>,
    /// MAC address of the BMC
    #[arg(long, default_value = "", hide_default_value = true, requires = "bmc_endpoint")]
    bmc_mac: String,
}

/// `3` or `3-4`.
fn units(text: &str) -> Result<(u16, u16), String> {
    let bad = |_| format!("{text:?} are no units: write 3 or 3-4");
    let (lower, upper) = text.split_once('-').unwrap_or((text, text));
    Ok((lower.parse().map_err(bad)?, upper.parse().map_err(bad)?))
}

impl KnownArgs {
    /// Where it stands.
    pub(super) fn asset(&self) -> Asset {
        let (lower_unit, upper_unit) = self.units.unwrap_or_default();
        Asset {
            site: self.site.clone(),
            rack: self.rack.clone(),
            lower_unit,
            upper_unit,
            inventory_number: self.inventory_number.clone(),
            tags: self.tags.clone(),
            ..Asset::default()
        }
    }

    /// How its BMC is reached.
    pub(super) fn bmc(&self) -> Result<Option<MachineBmc>> {
        let Some(endpoint) = self.bmc_endpoint.clone() else { return Ok(None) };
        let password = match &self.bmc_password_file {
            None => String::new(),
            Some(path) => read_file(path)?.trim_end_matches(['\r', '\n']).to_owned(),
        };
        let (username, mac) = (self.bmc_username.clone(), self.bmc_mac.clone());
        Ok(Some(MachineBmc { endpoint, username, password, mac }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_one_or_a_range() {
        assert_eq!((units("3"), units("3-4")), (Ok((3, 3)), Ok((3, 4))));
        assert!(units("3-").unwrap_err().contains("write 3 or 3-4"));
    }
}
