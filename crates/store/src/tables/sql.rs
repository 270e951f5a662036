//! Statements of an operator, for repair and inspection (updates-and-system.md 5). What is sealed stays sealed: SQL sees
//! the sealed text, and this module never opens it.

use serde_json::Value as Json;

use crate::db::Tx;
use crate::error::{Result, StoreError};
use crate::params;

pub use crate::db::Outcome;

/// What a statement may begin with. Everything else would end the transaction that it runs in, or change the connection
/// for those who use it next.
const READING: [&str; 4] = ["SELECT", "VALUES", "TABLE", "EXPLAIN"];
const WRITING: [&str; 9] = ["WITH", "INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "DROP", "ALTER", "REINDEX"];
/// Most that the text of a dump may take, in bytes.
const DUMP_LIMIT: usize = 64 << 20;

/// Splits a text at the semicolons that are outside of quotes and comments. Statements of white space and comments alone
/// are left out.
pub fn split(text: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let (mut begin, mut at) = (0, 0);
    while let Some(c) = text[at..].chars().next() {
        if c == ';' {
            statements.push(&text[begin..at]);
            begin = at + 1;
        }
        at += token(&text[at..]).max(c.len_utf8());
    }
    statements.push(&text[begin..]);
    statements.into_iter().map(str::trim).filter(|statement| !skip_blank(statement).is_empty()).collect()
}

/// Length of the quoted text or comment that `text` begins with; 0 when it begins with something else.
fn token(text: &str) -> usize {
    let until = |open: usize, close: &str| text[open..].find(close).map_or(text.len(), |n| open + n + close.len());
    match text.as_bytes() {
        // A doubled quote reads as two quoted texts side by side.
        [b'\'', ..] => until(1, "'"),
        [b'"', ..] => until(1, "\""),
        [b'-', b'-', ..] => until(2, "\n"),
        [b'/', b'*', ..] => until(2, "*/"),
        [b'$', ..] => match text[1..].split_once('$') {
            Some((tag, _)) if tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                until(tag.len() + 2, &text[..tag.len() + 2])
            }
            _ => 0,
        },
        _ => 0,
    }
}

fn skip_blank(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        match text.starts_with("--") || text.starts_with("/*") {
            true => text = &text[token(text)..],
            false => return text,
        }
    }
}

/// The first word of a statement in capitals, which says what it does without saying to what.
pub fn first_word(statement: &str) -> String {
    let text = skip_blank(skip_blank(statement).trim_start_matches('('));
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    text[..end].to_ascii_uppercase()
}

/// Whether a statement only reads.
pub fn only_reads(statement: &str) -> bool {
    READING.contains(&first_word(statement).as_str())
}

/// Runs the statements one after the other in this transaction: one that fails undoes those before it.
///
/// # Errors
/// [`StoreError::Database`] for a statement that is not one of those allowed, and what the database says.
pub fn run(tx: &mut Tx, statements: &[String]) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::with_capacity(statements.len());
    for statement in statements {
        let word = first_word(statement);
        let reads = only_reads(statement);
        if !reads && !WRITING.contains(&word.as_str()) {
            let allowed = [&READING[..], &WRITING[..]].concat().join(", ");
            return Err(StoreError::Database(format!("syntax error near {word:?}: a statement begins with {allowed}")));
        }
        outcomes.push(tx.raw(statement, !reads)?);
    }
    Ok(outcomes)
}

/// The tables, by name.
pub fn table_names(tx: &mut Tx) -> Result<Vec<String>> {
    let sql = if tx.is_postgres() {
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema() \
         AND table_type = 'BASE TABLE' ORDER BY 1"
    } else {
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1"
    };
    tx.query(sql, &[], |row| row.text(0))
}

/// The schema as SQL text, and with `data` every row as an `INSERT`.
///
/// # Errors
/// [`StoreError::Database`] when the text would be larger than 64 MiB.
pub fn dump(tx: &mut Tx, data: bool) -> Result<String> {
    let mut text = schema(tx)?;
    if !data {
        return Ok(text);
    }
    for table in table_names(tx)? {
        let name = quoted(&table);
        let outcome = tx.raw(&format!("SELECT * FROM {name}"), false)?;
        for row in &outcome.rows {
            let values: Vec<String> = row.iter().map(literal).collect();
            text.push_str(&format!("INSERT INTO {name} VALUES ({});\n", values.join(", ")));
            if text.len() > DUMP_LIMIT {
                let most = DUMP_LIMIT >> 20;
                return Err(StoreError::Database(format!(
                    "the dump is larger than {most} MiB: select from single tables"
                )));
            }
        }
    }
    Ok(text)
}

fn schema(tx: &mut Tx) -> Result<String> {
    let statements = if tx.is_postgres() {
        let mut statements = Vec::new();
        for table in table_names(tx)? {
            statements.push(postgres_table(tx, &table)?);
        }
        let indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() AND indexname NOT IN \
                       (SELECT conname FROM pg_constraint) ORDER BY indexname";
        statements.extend(tx.query(indexes, &[], |row| row.text(0))?);
        statements
    } else {
        let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid";
        tx.query(sql, &[], |row| row.text(0))?
    };
    Ok(statements.into_iter().map(|statement| format!("{statement};\n")).collect())
}

/// A table of PostgreSQL with its columns and constraints.
fn postgres_table(tx: &mut Tx, table: &str) -> Result<String> {
    let columns = "SELECT format('%I %s', attname, format_type(atttypid, atttypmod)) \
                   || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END \
                   || CASE WHEN attidentity <> '' THEN ' GENERATED BY DEFAULT AS IDENTITY' \
                      ELSE COALESCE(' DEFAULT ' || pg_get_expr(adbin, adrelid), '') END \
                   FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum \
                   WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
    let constraints = "SELECT format('CONSTRAINT %I ', conname) || pg_get_constraintdef(oid) FROM pg_constraint \
                       WHERE conrelid = to_regclass($1) AND contype IN ('p', 'u', 'f', 'c') ORDER BY contype DESC, conname";
    let name = quoted(table);
    let mut lines = tx.query(columns, params![&name], |row| row.text(0))?;
    lines.extend(tx.query(constraints, params![&name], |row| row.text(0))?);
    Ok(format!("CREATE TABLE {name} (\n    {}\n)", lines.join(",\n    ")))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(value: &Json) -> String {
    match value {
        Json::Null => "NULL".to_owned(),
        Json::String(text) => format!("'{}'", text.replace('\'', "''")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes_and_comments() {
        for (text, want) in [
            ("SELECT 1; SELECT 2", vec!["SELECT 1", "SELECT 2"]),
            ("SELECT 'a;b''c;', \"d;e\"; SELECT 2;", vec!["SELECT 'a;b''c;', \"d;e\"", "SELECT 2"]),
            ("SELECT 1 -- a;b\n; SELECT /* ; */ 2", vec!["SELECT 1 -- a;b", "SELECT /* ; */ 2"]),
            ("SELECT $x$;$x$, $1; SELECT $$;$$", vec!["SELECT $x$;$x$, $1", "SELECT $$;$$"]),
            ("SELECT 'é;ü'; SELECT 'open;", vec!["SELECT 'é;ü'", "SELECT 'open;"]),
            (" ; -- nothing\n;/* nothing */", vec![]),
        ] {
            assert_eq!(split(text), want, "{text}");
        }
    }

    #[test]
    fn the_first_word_is_found_behind_comments() {
        assert_eq!(first_word("/* x */ -- y\n (select 1)"), "SELECT");
        assert_eq!(first_word("delete from tokens"), "DELETE");
        assert_eq!(first_word("--"), "");
    }
}
