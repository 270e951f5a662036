//! Statements whose text comes from an operator: column names and values of any type, as JSON.

use postgres::SimpleQueryMessage;
use postgres::types::Type;
use rusqlite::types::ValueRef;
use serde_json::Value as Json;

use crate::db::tx::Stop;
use crate::error::StoreError;

/// Most that a result may take, in bytes: it is held in memory as a whole.
const LIMIT: usize = 64 << 20;

/// The result of one statement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Names of the columns, in their order; empty for a statement without a result.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Json>>,
    /// Rows that a statement without a result has touched.
    pub affected: u64,
}

/// Counts what a result takes.
#[derive(Default)]
struct Size(usize);

impl Size {
    fn add(&mut self, value: &Json) -> Result<(), Stop> {
        self.0 += 16 + value.as_str().map_or(0, str::len);
        if self.0 <= LIMIT {
            return Ok(());
        }
        let text = format!("the result is larger than {} MiB: ask for fewer rows or columns", LIMIT >> 20);
        Err(Stop::Caller(StoreError::Database(text)))
    }
}

/// Runs one statement on SQLite.
pub(super) fn sqlite(connection: &rusqlite::Connection, sql: &str) -> Result<Outcome, Stop> {
    let mut statement = connection.prepare(sql).map_err(|error| super::sqlite::driver(&error))?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    if columns.is_empty() {
        let affected = statement.execute([]).map_err(|error| super::sqlite::driver(&error))?;
        return Ok(Outcome { affected: affected as u64, ..Outcome::default() });
    }
    let (mut out, mut size) = (Vec::new(), Size::default());
    let mut rows = statement.query([]).map_err(|error| super::sqlite::driver(&error))?;
    while let Some(row) = rows.next().map_err(|error| super::sqlite::driver(&error))? {
        let mut values = Vec::with_capacity(columns.len());
        for column in 0..columns.len() {
            let value = match row.get_ref(column).map_err(|error| super::sqlite::driver(&error))? {
                ValueRef::Null => Json::Null,
                ValueRef::Integer(value) => value.into(),
                ValueRef::Real(value) => value.into(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
                ValueRef::Blob(bytes) => hex::encode(bytes).into(),
            };
            size.add(&value)?;
            values.push(value);
        }
        out.push(values);
    }
    Ok(Outcome { columns, rows: out, affected: 0 })
}

/// Puts together what PostgreSQL answers in its text form, which it has for every type.
pub(super) fn postgres(columns: &[(String, Type)], messages: &[SimpleQueryMessage]) -> Result<Outcome, Stop> {
    let mut out = Outcome { columns: columns.iter().map(|(name, _)| name.clone()).collect(), ..Outcome::default() };
    let mut size = Size::default();
    for message in messages {
        match message {
            SimpleQueryMessage::Row(row) => {
                let mut values = Vec::with_capacity(columns.len());
                for (column, (_, kind)) in columns.iter().enumerate() {
                    let text = row.try_get(column).map_err(|error| {
                        Stop::Caller(StoreError::Corrupt(format!("column {column} cannot be read: {error}")))
                    })?;
                    let value = text.map_or(Json::Null, |text| typed(kind, text));
                    size.add(&value)?;
                    values.push(value);
                }
                out.rows.push(values);
            }
            SimpleQueryMessage::CommandComplete(rows) if columns.is_empty() => out.affected = *rows,
            _ => {}
        }
    }
    Ok(out)
}

/// A value of which the text is known. What JSON has no number for (`NaN`) stays a text.
fn typed(kind: &Type, text: &str) -> Json {
    match *kind {
        Type::BOOL => Json::Bool(text == "t"),
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID | Type::NUMERIC | Type::FLOAT4 | Type::FLOAT8 => {
            text.parse::<serde_json::Number>().map_or_else(|_| text.into(), Json::Number)
        }
        _ => text.into(),
    }
}
