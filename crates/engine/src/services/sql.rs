//! Statements of an operator on the database (`updates-and-system.md` 5). What is sealed stays sealed.

use crate::{Actor, Engine, Error, services::audit};
use muster_store::{
    StoreError,
    tables::{
        sql::{self, first_word},
        updates,
    },
};

pub use sql::Outcome;

/// What a dump contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dump {
    /// Schema and rows.
    All,
    /// The schema.
    Schema,
    /// Names of the tables, one a line.
    Tables,
}

/// Runs the statements of `text`: all of them or none. Statements that only read run beside everything else; the others in
/// one write transaction. The audit keeps the first word of each, as the rest may carry secrets.
///
/// # Errors
/// [`Error::Invalid`] with the database's words.
pub async fn query(engine: &Engine, actor: &Actor, text: &str) -> Result<Vec<Outcome>, Error> {
    let statements: Vec<String> = sql::split(text).into_iter().map(str::to_owned).collect();
    if statements.is_empty() {
        return Ok(Vec::new());
    }
    let words: Vec<String> = statements.iter().map(|statement| first_word(statement)).collect();
    let mut entry = audit::entry(engine.clock().micros(), actor, "sql.query", "database", "sql");
    entry.reason = Some(words.join(", "));
    if statements.iter().all(|statement| sql::only_reads(statement)) {
        engine.store().write(move |tx| audit::append(tx, &entry)).await?;
        return engine.store().read(move |tx| sql::run(tx, &statements)).await.map_err(refused);
    }
    let done = engine.store().write(move |tx| {
        let outcomes = sql::run(tx, &statements)?;
        // They may have changed what is kept in memory.
        updates::count_change(tx)?;
        audit::append(tx, &entry)?;
        Ok(outcomes)
    });
    done.await.map_err(refused)
}

/// The database as text. Whoever reads rows reads tokens too, so that it is audited.
///
/// # Errors
/// [`Error::Invalid`] when the text would be too large.
pub async fn dump(engine: &Engine, actor: &Actor, what: Dump) -> Result<String, Error> {
    if what == Dump::All {
        let entry = audit::entry(engine.clock().micros(), actor, "sql.dump", "database", "sql");
        engine.store().write(move |tx| audit::append(tx, &entry)).await?;
    }
    let text = engine.store().read(move |tx| match what {
        Dump::All => sql::dump(tx, true),
        Dump::Schema => sql::dump(tx, false),
        Dump::Tables => Ok(sql::table_names(tx)?.into_iter().map(|name| name + "\n").collect()),
    });
    text.await.map_err(refused)
}

fn refused(error: StoreError) -> Error {
    match error {
        StoreError::Database(_) | StoreError::Constraint { .. } => {
            Error::Invalid(format!("Failed to execute query: {error}"))
        }
        error => error.into(),
    }
}
