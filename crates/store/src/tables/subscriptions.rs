//! Subscriptions (lifecycle.md 1.8): machines that are kept for somebody, and what is known of the machines concerned.

use crate::db::{Row, Tx};
use crate::error::Result;
use crate::params;
use crate::tables::{Conditions, found, machines::Machine, servers::Server, stale_or_missing};
use crate::value::Value;

/// A subscription that keeps machines while its term runs.
pub const ACTIVE: &str = "active";

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscription {
    /// UUID of version 7, the primary key.
    pub id: String,
    /// For whom machines are kept.
    pub holder: String,
    /// The server type that is kept; none when it is one machine.
    pub type_id: Option<String>,
    /// The one machine that is kept; none when it is a type.
    pub machine_id: Option<String>,
    /// How many machines.
    pub quantity: i64,
    /// Only at this site; empty: at any.
    pub site: String,
    /// Microseconds since 1970.
    pub starts_at: i64,
    /// Microseconds since 1970; none: never.
    pub ends_at: Option<i64>,
    /// Length of a cycle; 0: none.
    pub cycle_months: i64,
    /// Whether a cycle follows a cycle.
    pub renew: bool,
    /// `active`, `stopped` or `ended`.
    pub status: String,
    /// How many machines it lacks; written by [`set_missing`] only.
    pub missing: i64,
    /// Why, in words; written by [`set_missing`] only.
    pub unfulfilled: String,
    /// Free text.
    pub description: String,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Counts its changes, those of what it lacks aside; not read by [`insert`].
    pub generation: i64,
}

const COLUMNS: &str = "id, holder, type_id, machine_id, quantity, site, starts_at, ends_at, cycle_months, renew, status, \
                       missing, unfulfilled, description, created_at, generation";

fn from_row(row: &Row) -> Result<Subscription> {
    Ok(Subscription {
        id: row.text(0)?,
        holder: row.text(1)?,
        type_id: row.opt_text(2)?,
        machine_id: row.opt_text(3)?,
        quantity: row.int(4)?,
        site: row.text(5)?,
        starts_at: row.int(6)?,
        ends_at: row.opt_int(7)?,
        cycle_months: row.int(8)?,
        renew: row.bool(9)?,
        status: row.text(10)?,
        missing: row.int(11)?,
        unfulfilled: row.text(12)?,
        description: row.text(13)?,
        created_at: row.int(14)?,
        generation: row.int(15)?,
    })
}

/// Adds a subscription, in generation 1 and lacking nothing. A foreign key violation for a type or a machine that does not
/// exist.
pub fn insert(tx: &mut Tx, subscription: &Subscription) -> Result<()> {
    let sql = format!(
        "INSERT INTO subscriptions ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, '', $12, $13, 1)"
    );
    let s = subscription;
    let values = params![
        &s.id,
        &s.holder,
        &s.type_id,
        &s.machine_id,
        s.quantity,
        &s.site,
        s.starts_at,
        s.ends_at,
        s.cycle_months,
        s.renew,
        &s.status,
        &s.description,
        s.created_at,
    ];
    tx.execute(&sql, values)?;
    Ok(())
}

/// One subscription.
pub fn get(tx: &mut Tx, id: &str) -> Result<Option<Subscription>> {
    tx.query_opt(&format!("SELECT {COLUMNS} FROM subscriptions WHERE id = $1"), params![id], from_row)
}

/// Which subscriptions to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only with this status.
    pub status: Option<String>,
    /// Only of this holder.
    pub holder: Option<String>,
    /// Only those behind this id.
    pub after: Option<String>,
}

/// Subscriptions by id, which is by age, at most `limit`.
pub fn list(tx: &mut Tx, filter: &Filter, limit: i64) -> Result<Vec<Subscription>> {
    let mut wanted = Conditions::new();
    wanted.and("status =", filter.status.as_deref());
    wanted.and("holder =", filter.holder.as_deref());
    wanted.and("id >", filter.after.as_deref());
    let limit = wanted.value(limit);
    let sql = format!("SELECT {COLUMNS} FROM subscriptions WHERE {} ORDER BY id LIMIT ${limit}", wanted.sql);
    tx.query(&sql, &wanted.values, from_row)
}

/// Writes what may be changed (quantity, term, status, description), if nobody has changed it since it was read
/// (`subscription.generation`). Answers the new generation.
pub fn update(tx: &mut Tx, subscription: &Subscription) -> Result<i64> {
    let sql = "UPDATE subscriptions SET quantity = $2, starts_at = $3, ends_at = $4, cycle_months = $5, renew = $6, \
               status = $7, description = $8, generation = generation + 1 WHERE id = $1 AND generation = $9 \
               RETURNING generation";
    let s = subscription;
    let values = params![
        &s.id,
        s.quantity,
        s.starts_at,
        s.ends_at,
        s.cycle_months,
        s.renew,
        &s.status,
        &s.description,
        s.generation,
    ];
    match tx.query_opt(sql, values, |row| row.int(0))? {
        Some(generation) => Ok(generation),
        None => Err(stale_or_missing(get(tx, &s.id)?.is_some())),
    }
}

/// Writes how many machines it lacks, and why. That is observed and nobody's wish: the generation stays.
pub fn set_missing(tx: &mut Tx, id: &str, missing: i64, why: &str) -> Result<()> {
    let sql = "UPDATE subscriptions SET missing = $2, unfulfilled = $3 WHERE id = $1";
    found(tx.execute(sql, params![id, missing, why])?)
}

/// Deletes a subscription.
pub fn delete(tx: &mut Tx, id: &str) -> Result<()> {
    found(tx.execute("DELETE FROM subscriptions WHERE id = $1", params![id])?)
}

/// Active subscriptions for a type, and those for one machine of that type.
pub fn active_of_type(tx: &mut Tx, server_type: &str) -> Result<Vec<Subscription>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM subscriptions WHERE status = '{ACTIVE}' AND (type_id = $1 OR machine_id IN \
         (SELECT m.id FROM machines m JOIN subscriptions s ON s.machine_id = m.id WHERE m.server_type = $1 \
         AND s.status = '{ACTIVE}'))"
    );
    tx.query(&sql, params![server_type], from_row)
}

/// Active subscriptions for one machine.
pub fn active_of_machine(tx: &mut Tx, machine: &str) -> Result<Vec<Subscription>> {
    let sql = format!("SELECT {COLUMNS} FROM subscriptions WHERE status = '{ACTIVE}' AND machine_id = $1");
    tx.query(&sql, params![machine], from_row)
}

/// Every type that an active subscription asks for, by itself or by a machine of it.
pub fn types(tx: &mut Tx) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT type_id FROM subscriptions WHERE status = '{ACTIVE}' AND type_id IS NOT NULL UNION \
         SELECT m.server_type FROM subscriptions s JOIN machines m ON m.id = s.machine_id WHERE s.status = '{ACTIVE}' \
         ORDER BY 1"
    );
    tx.query(&sql, params![], |row| row.text(0))
}

/// Subscriptions of machines that are reserved although the subscription is not active, or gone.
pub fn left_over(tx: &mut Tx) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT DISTINCT m.subscription FROM machines m LEFT JOIN subscriptions s ON s.id = m.subscription \
         WHERE m.lifecycle = 'available_reserved' AND m.subscription IS NOT NULL \
         AND (s.id IS NULL OR s.status <> '{ACTIVE}') ORDER BY 1"
    );
    tx.query(&sql, params![], |row| row.text(0))
}

/// When time alone makes a difference to an active subscription: its start or its end; not later than now when it has
/// done so.
pub fn next(tx: &mut Tx, now_us: i64) -> Result<Option<i64>> {
    let sql = format!(
        "SELECT MIN(CASE WHEN starts_at > $1 THEN starts_at ELSE ends_at END) FROM subscriptions WHERE status = '{ACTIVE}'"
    );
    tx.query_one(&sql, params![now_us], |row| row.opt_int(0))
}

/// How many subscriptions are active, how many machines they ask for, and how many they lack.
pub fn totals(tx: &mut Tx) -> Result<(i64, i64, i64)> {
    let sql = format!(
        "SELECT COUNT(*), CAST(COALESCE(SUM(quantity), 0) AS BIGINT), CAST(COALESCE(SUM(missing), 0) AS BIGINT) \
         FROM subscriptions WHERE status = '{ACTIVE}'"
    );
    tx.query_one(&sql, params![], |row| Ok((row.int(0)?, row.int(1)?, row.int(2)?)))
}

/// How many machines are bound to, and in use through, a subscription: by subscription, of those with an id from `first` to
/// `last`.
pub fn counts(tx: &mut Tx, first: &str, last: &str) -> Result<Vec<(String, i64, i64)>> {
    let sql = "SELECT subscription, CAST(SUM(CASE WHEN lifecycle = 'available_reserved' THEN 1 ELSE 0 END) AS BIGINT), \
               CAST(SUM(CASE WHEN lifecycle = 'available_reserved' THEN 0 ELSE 1 END) AS BIGINT) FROM machines \
               WHERE subscription >= $1 AND subscription <= $2 GROUP BY subscription ORDER BY subscription";
    tx.query(sql, params![first, last], |row| Ok((row.text(0)?, row.int(1)?, row.int(2)?)))
}

/// The machines bound to or in use through a subscription, by id, at most `limit`: id, lifecycle, and the name of the
/// server that it is enrolled as.
pub fn machines(tx: &mut Tx, id: &str, limit: i64) -> Result<Vec<(String, String, Option<String>)>> {
    let sql = "SELECT m.id, m.lifecycle, s.name FROM machines m LEFT JOIN servers s ON s.machine_id = m.id \
               WHERE m.subscription = $1 ORDER BY m.id LIMIT $2";
    tx.query(sql, params![id, limit], |row| Ok((row.text(0)?, row.text(1)?, row.opt_text(2)?)))
}

/// Which machines concern somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of<'a> {
    /// Bound to or in use through this subscription.
    Subscription(&'a str),
    /// Bound to or in use through a subscription for this type.
    Subscribed(&'a str),
    /// Of this type, unless decommissioned.
    Type(&'a str),
    /// The one with this id.
    Machine(&'a str),
}

/// A machine, and the server that it is enrolled as.
pub type Candidate = (Machine, Option<Server>);

/// Machines as far as subscriptions look at them: without hardware, identity and what the server collected.
pub fn candidates(tx: &mut Tx, of: Of<'_>) -> Result<Vec<Candidate>> {
    let (condition, value) = match of {
        Of::Subscription(id) => ("m.subscription = $1", id),
        Of::Subscribed(id) => ("m.subscription IN (SELECT id FROM subscriptions WHERE type_id = $1)", id),
        Of::Type(id) => ("m.server_type = $1 AND m.lifecycle <> 'decommissioned'", id),
        Of::Machine(id) => ("m.id = $1", id),
    };
    let sql = format!(
        "SELECT m.id, m.lifecycle, m.operation, m.media, m.bmc_mac, m.allocation, m.reservation, m.subscription, \
         m.server_type, m.flags, m.alerts, m.asset, m.bmc, m.generation, s.status, s.status_detail, s.cluster, s.bmc \
         FROM machines m LEFT JOIN servers s ON s.machine_id = m.id WHERE {condition}"
    );
    tx.query(&sql, &[Value::from(value)], |row| {
        let machine = Machine {
            id: row.text(0)?,
            lifecycle: row.text(1)?,
            operation: row.opt_text(2)?,
            media: row.text(3)?,
            bmc_mac: row.opt_text(4)?,
            allocation: row.opt_text(5)?,
            reservation: row.opt_text(6)?,
            subscription: row.opt_text(7)?,
            server_type: row.text(8)?,
            flags: row.text(9)?,
            alerts: row.text(10)?,
            asset: row.text(11)?,
            bmc: row.text(12)?,
            generation: row.int(13)?,
            ..Machine::default()
        };
        let server = match row.opt_text(14)? {
            Some(status) => Some(Server {
                machine_id: machine.id.clone(),
                status,
                status_detail: row.text(15)?,
                cluster: row.opt_text(16)?,
                bmc: row.text(17)?,
                ..Server::default()
            }),
            None => None,
        };
        Ok((machine, server))
    })
}

/// Id and label of the server type with this id or, failing that, this label.
pub fn server_type(tx: &mut Tx, name: &str) -> Result<Option<(String, String)>> {
    let sql =
        "SELECT id, label FROM server_types WHERE id = $1 OR label = $1 ORDER BY CASE WHEN id = $1 THEN 0 ELSE 1 END";
    tx.query_opt(sql, params![name], |row| Ok((row.text(0)?, row.text(1)?)))
}

/// The labels of the server types that subscriptions ask for, by the type's id.
pub fn labels(tx: &mut Tx) -> Result<Vec<(String, String)>> {
    let sql = "SELECT id, label FROM server_types WHERE id IN (SELECT type_id FROM subscriptions)";
    tx.query(sql, params![], |row| Ok((row.text(0)?, row.text(1)?)))
}
