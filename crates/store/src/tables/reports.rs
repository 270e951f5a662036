//! What reports are made of, row by row.

use crate::db::Tx;
use crate::error::Result;

/// A machine as a report sees it; borrowed from the row that is being read.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its lifecycle state.
    pub lifecycle: &'a str,
    /// Label of its type, or empty.
    pub server_type: &'a str,
    /// Its cluster, or empty.
    pub cluster: &'a str,
    /// To whom it is allocated, as JSON.
    pub allocation: Option<&'a str>,
    /// For whom it is reserved, as JSON.
    pub reservation: Option<&'a str>,
    /// What people know of it, as JSON.
    pub asset: &'a str,
    /// Its hardware, as JSON.
    pub inventory: &'a str,
}

/// Every machine, one after another, in all states.
pub fn for_each_machine(tx: &mut Tx, mut visit: impl FnMut(Counted<'_>) -> Result<()>) -> Result<()> {
    let sql = "SELECT m.id, m.lifecycle, t.label, s.cluster, m.allocation, m.reservation, m.asset, m.inventory \
               FROM machines m LEFT JOIN server_types t ON t.id = m.server_type \
               LEFT JOIN servers s ON s.machine_id = m.id ORDER BY m.id";
    tx.for_each(sql, &[], |row| {
        visit(Counted {
            id: row.str(0)?,
            lifecycle: row.str(1)?,
            server_type: row.opt_str(2)?.unwrap_or_default(),
            cluster: row.opt_str(3)?.unwrap_or_default(),
            allocation: row.opt_str(4)?,
            reservation: row.opt_str(5)?,
            asset: row.str(6)?,
            inventory: row.str(7)?,
        })
    })
}

/// A change of a machine's lifecycle, as the audit has it.
#[derive(Debug, Clone, Copy)]
pub struct Transition<'a> {
    /// When, in microseconds since 1970.
    pub at: i64,
    /// Id of the machine.
    pub machine: &'a str,
    /// Its state from then on.
    pub to: &'a str,
    /// More about it, as JSON.
    pub detail: &'a str,
}

/// Every change of a lifecycle, oldest first.
pub fn for_each_transition(tx: &mut Tx, mut visit: impl FnMut(Transition<'_>) -> Result<()>) -> Result<()> {
    let sql = "SELECT at, object, to_state, detail FROM audit WHERE action = 'machine.transition' ORDER BY seq";
    tx.for_each(sql, &[], |row| {
        let to = row.opt_str(2)?.unwrap_or_default();
        visit(Transition { at: row.int(0)?, machine: row.str(1)?, to, detail: row.str(3)? })
    })
}
