//! Statements of an operator, on both databases.

use muster_store::tables::channels;
use muster_store::tables::identity::{self, Identity};
use muster_store::tables::sql::{self, Outcome};
use muster_store::testing::{TestStore, stores};
use muster_store::{Result, Secret, Store, StoreError};
use serde_json::json;

fn write(store: &Store, text: &str) -> Result<Vec<Outcome>> {
    let statements: Vec<String> = sql::split(text).into_iter().map(str::to_owned).collect();
    store.write_blocking(move |tx| sql::run(tx, &statements))
}

fn outcome(columns: &[&str], rows: Vec<Vec<serde_json::Value>>, affected: u64) -> Outcome {
    Outcome { columns: columns.iter().map(|&name| name.to_owned()).collect(), rows, affected }
}

#[test]
fn values_keep_their_type_and_columns_their_names() {
    stores(|TestStore { store, .. }| {
        let one = write(store, "SELECT 1 AS a, 'x;y' AS b, NULL AS c, 1.5 AS d; SELECT name FROM channels WHERE 1 = 2")
            .unwrap();
        let row = vec![json!(1), json!("x;y"), json!(null), json!(1.5)];
        assert_eq!(one, [outcome(&["a", "b", "c", "d"], vec![row], 0), outcome(&["name"], vec![], 0)]);
    });
}

#[test]
fn changes_are_counted_committed_and_noticed() {
    stores(|TestStore { store, .. }| {
        let ticks = store.changed();
        let done = write(
            store,
            "UPDATE channels SET description = 'a;b' WHERE name = 'stable'; SELECT description FROM channels",
        );
        assert_eq!(done.unwrap(), [outcome(&[], vec![], 1), outcome(&["description"], vec![vec![json!("a;b")]], 0)]);
        let stable = store.read_blocking(|tx| channels::get(tx, "stable")).unwrap().unwrap();
        assert_eq!(stable.description, "a;b");
        assert!(ticks.has_changed().unwrap());
    });
}

#[test]
fn a_failing_statement_undoes_those_before_it() {
    stores(|TestStore { store, .. }| {
        let text = "DELETE FROM channels; SELECT * FROM nothing";
        assert!(matches!(write(store, text), Err(StoreError::Database(_))));
        assert!(store.read_blocking(|tx| channels::get(tx, "stable")).unwrap().is_some());
    });
}

#[test]
fn what_would_end_the_transaction_or_change_the_connection_is_refused() {
    stores(|TestStore { store, .. }| {
        for text in
            ["COMMIT", "rollback", "/**/ BEGIN", "PRAGMA query_only = 1", "SET ROLE x", "ATTACH 'x' AS y", "hello"]
        {
            let refused = write(store, &format!("DELETE FROM channels; {text}"));
            assert!(matches!(refused, Err(StoreError::Database(_))), "{text}");
        }
        write(store, "UPDATE channels SET description = 'still here' WHERE name = 'stable'").unwrap();
    });
}

#[test]
fn reading_cannot_write() {
    stores(|TestStore { store, .. }| {
        let read = |text: &str| {
            let statements = vec![text.to_owned()];
            store.read_blocking(move |tx| sql::run(tx, &statements))
        };
        assert_eq!(read("SELECT name FROM channels").unwrap()[0].rows, [[json!("stable")]]);
        assert!(read("DELETE FROM channels").is_err());
    });
}

#[test]
fn a_dump_has_schema_and_rows_and_no_open_secret() {
    stores(|TestStore { store, .. }| {
        let names = store.read_blocking(sql::table_names).unwrap();
        assert!(names.contains(&"channels".to_owned()) && names.contains(&"audit".to_owned()), "{names:?}");
        let own = Identity { certificate: "certificate".into(), key: Secret::new("the private key".to_owned()) };
        store.write_blocking(move |tx| identity::put(tx, "it's", &own)).unwrap();
        let schema = store.read_blocking(|tx| sql::dump(tx, false)).unwrap();
        assert!(schema.contains("CREATE TABLE") && schema.contains("tokens_channel"), "{schema}");
        assert!(!schema.contains("Stable updates channel"));
        let whole = store.read_blocking(|tx| sql::dump(tx, true)).unwrap();
        assert!(whole.starts_with(&schema), "{whole}");
        assert!(whole.contains("VALUES ('stable', 'Stable updates channel', 0)"), "{whole}");
        assert!(whole.contains("VALUES ('it''s', 'certificate', '"), "{whole}");
        assert!(!whole.contains("the private key"));
    });
}
