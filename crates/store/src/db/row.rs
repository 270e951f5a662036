//! One row of a result, whichever database it came from. Columns are numbered from 0, in the order of the SELECT list.

use postgres::types::Type;
use rusqlite::types::ValueRef;

use crate::error::{Result, StoreError};

/// One row of a result.
pub struct Row<'a>(Source<'a>);

enum Source<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a postgres::Row),
}

fn wrong(column: usize, wanted: &str) -> StoreError {
    StoreError::Corrupt(format!("column {column} is not {wanted}"))
}

fn present<T>(column: usize, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| wrong(column, "set (NULL)"))
}

impl<'a> Row<'a> {
    pub(super) fn sqlite(row: &'a rusqlite::Row<'a>) -> Row<'a> {
        Row(Source::Sqlite(row))
    }

    pub(super) fn postgres(row: &'a postgres::Row) -> Row<'a> {
        Row(Source::Postgres(row))
    }

    /// A TEXT, borrowed from the row; `None` for NULL. Saves the copy in long scans.
    pub fn opt_str(&self, column: usize) -> Result<Option<&str>> {
        match self.0 {
            Source::Sqlite(row) => match row.get_ref(column).map_err(|_| wrong(column, "there"))? {
                ValueRef::Null => Ok(None),
                ValueRef::Text(text) => std::str::from_utf8(text).map(Some).map_err(|_| wrong(column, "UTF-8")),
                _ => Err(wrong(column, "text")),
            },
            Source::Postgres(row) => row.try_get(column).map_err(|_| wrong(column, "text")),
        }
    }

    /// A BIGINT (or INTEGER); `None` for NULL. Cast a `sum()` to BIGINT in the SQL: it is a NUMERIC on PostgreSQL.
    pub fn opt_int(&self, column: usize) -> Result<Option<i64>> {
        let bad = || wrong(column, "an integer");
        match self.0 {
            Source::Sqlite(row) => match row.get_ref(column).map_err(|_| bad())? {
                ValueRef::Null => Ok(None),
                ValueRef::Integer(value) => Ok(Some(value)),
                _ => Err(bad()),
            },
            Source::Postgres(row) => match row.columns().get(column).map(|column| column.type_()) {
                Some(&Type::INT4) => row.try_get::<_, Option<i32>>(column).map(|v| v.map(i64::from)).map_err(|_| bad()),
                _ => row.try_get(column).map_err(|_| bad()),
            },
        }
    }

    /// A BOOLEAN; `None` for NULL.
    pub fn opt_bool(&self, column: usize) -> Result<Option<bool>> {
        match self.0 {
            Source::Sqlite(_) => Ok(self.opt_int(column)?.map(|value| value != 0)),
            Source::Postgres(row) => row.try_get(column).map_err(|_| wrong(column, "a boolean")),
        }
    }

    /// Bytes; `None` for NULL.
    pub fn opt_blob(&self, column: usize) -> Result<Option<Vec<u8>>> {
        match self.0 {
            Source::Sqlite(row) => match row.get_ref(column).map_err(|_| wrong(column, "there"))? {
                ValueRef::Null => Ok(None),
                ValueRef::Blob(bytes) => Ok(Some(bytes.to_vec())),
                _ => Err(wrong(column, "bytes")),
            },
            Source::Postgres(row) => row.try_get(column).map_err(|_| wrong(column, "bytes")),
        }
    }

    /// A TEXT; `None` for NULL.
    pub fn opt_text(&self, column: usize) -> Result<Option<String>> {
        Ok(self.opt_str(column)?.map(str::to_owned))
    }

    /// A TEXT that is not NULL, borrowed from the row.
    pub fn str(&self, column: usize) -> Result<&str> {
        present(column, self.opt_str(column)?)
    }

    /// A TEXT that is not NULL.
    pub fn text(&self, column: usize) -> Result<String> {
        self.str(column).map(str::to_owned)
    }

    /// A BIGINT that is not NULL.
    pub fn int(&self, column: usize) -> Result<i64> {
        present(column, self.opt_int(column)?)
    }

    /// A BOOLEAN that is not NULL.
    pub fn bool(&self, column: usize) -> Result<bool> {
        present(column, self.opt_bool(column)?)
    }

    /// Bytes that are not NULL.
    pub fn blob(&self, column: usize) -> Result<Vec<u8>> {
        present(column, self.opt_blob(column)?)
    }
}
