//! Fresh databases for tests: a SQLite file, and a database on a PostgreSQL that lives as long as the test process.
//!
//! `MUSTER_TEST_PG` may name a running PostgreSQL (a URL or `key=value` text of a user that may create databases). Without
//! it the distribution's programs start a throw-away one on a unix socket. Without those the PostgreSQL half is skipped
//! with a line on standard error, or fails where `CI=true`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::db::{Location, Store, Tx};
use crate::error::Result;
use crate::seal::{KEY_LEN, Key, KeyRing, Secret};
use crate::tables::{expected_machines, identity, images, machines, operations, servers, settings, tokens};

/// Names a running PostgreSQL.
const RUNNING: &str = "MUSTER_TEST_PG";

/// A store on a database of its own.
pub struct TestStore {
    /// The store.
    pub store: Store,
    /// Where its data is, for a second store on the same data.
    pub location: Location,
    _files: TempDir,
    _database: Option<Database>,
}

/// A database on a PostgreSQL that outlives us, to be dropped again.
struct Database {
    server: postgres::Config,
    name: String,
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        if let Err(error) = run(&self.server, &sql) {
            eprintln!("{sql}: {error}");
        }
    }
}

/// Runs a statement on a thread of its own, where the driver's runtime is alone.
fn run(server: &postgres::Config, sql: &str) -> Result<(), postgres::Error> {
    let execute = || server.connect(postgres::NoTls)?.batch_execute(sql);
    std::thread::scope(|scope| scope.spawn(execute).join()).expect("the thread ends")
}

/// The key ring that [`stores`] opens its databases with.
pub fn keys() -> KeyRing {
    KeyRing::new(Key::new([1; KEY_LEN]), Vec::new())
}

fn fresh(location: impl FnOnce(&Path) -> Location, database: Option<Database>) -> TestStore {
    let files = tempfile::tempdir().expect("a temporary directory");
    let location = location(files.path());
    let store = Store::open(&location, keys()).expect("a fresh database opens");
    TestStore { store, location, _files: files, _database: database }
}

/// A store on a fresh SQLite file.
pub fn sqlite() -> TestStore {
    fresh(|directory| Location::Sqlite(directory.join("muster.db")), None)
}

/// A store on a fresh PostgreSQL database; `None` where there is no PostgreSQL, and then the test counts as skipped.
pub fn postgres() -> Option<TestStore> {
    static CLUSTER: OnceLock<Option<String>> = OnceLock::new();
    let Some(base) = CLUSTER.get_or_init(cluster) else {
        skipped_half();
        return None;
    };
    let name = format!("muster_test_{}", uuid::Uuid::new_v4().simple());
    let server: postgres::Config = base.parse().expect("MUSTER_TEST_PG can be read");
    run(&server, &format!("CREATE DATABASE {name}")).expect("a database can be created");
    let text = if base.contains("://") { format!("{base}/{name}") } else { format!("{base} dbname={name}") };
    let database = std::env::var_os(RUNNING).map(|_| Database { server, name });
    Some(fresh(|_| Location::Postgres(text), database))
}

/// Runs a test on every database that is there.
pub fn stores(test: impl Fn(&TestStore)) {
    test(&sqlite());
    if let Some(store) = postgres() {
        test(&store);
    }
}

/// Counts the test that runs as one that could not: half of it is no proof (`cargo xtask test` reads the file).
fn skipped_half() {
    let Some(file) = std::env::var_os("MUSTER_TEST_SKIPS") else { return };
    let thread = std::thread::current();
    let line = format!("{}: there is no PostgreSQL, so it ran on SQLite only\n", thread.name().unwrap_or("a test"));
    let mut file = fs::File::options().append(true).open(file).expect("the file of skipped tests opens");
    // In one piece: other tests write to it, too.
    file.write_all(line.as_bytes()).expect("the file of skipped tests can be written");
}

/// What undoes a migration, as far as the migrations before it need it undone to run again.
const UNDO: [(i64, &[&str]); 8] = [
    (2, &["ALTER TABLE operations DROP COLUMN documents", "DROP TABLE daemons", "DROP TABLE events_floor"]),
    (3, &["DROP TABLE update_manifests", "DROP TABLE table_changes"]),
    (4, &["DROP TABLE update_sources"]),
    (5, &["DROP TABLE prepared_images"]),
    (
        6,
        &[
            "ALTER TABLE channels_updates DROP COLUMN since",
            "DROP TABLE updates_entered",
            "DROP TABLE channel_rules",
            "DROP TABLE channel_freezes",
            "DROP TABLE updates_withdrawn",
            "DROP TABLE update_documents",
        ],
    ),
    (7, &["DROP INDEX servers_keys"]),
    (
        8,
        &[
            "DROP TABLE machine_notes",
            "DROP TABLE machine_snapshots",
            "DROP TABLE machine_alerts",
            "DROP TABLE expected_machines",
            "DROP TABLE subscriptions",
            "DROP TABLE server_type_fingerprints",
            "DROP TABLE server_types",
            "DROP INDEX machines_type",
            "DROP INDEX machines_subscription",
            "ALTER TABLE machines DROP COLUMN subscription",
            "ALTER TABLE machines RENAME COLUMN server_type TO type_label",
            "ALTER TABLE machines DROP COLUMN since",
            "ALTER TABLE machines DROP COLUMN allocated_at",
            "ALTER TABLE machines DROP COLUMN asset",
            "ALTER TABLE machines DROP COLUMN bmc",
            "ALTER TABLE machines DROP COLUMN bmc_password",
            "ALTER TABLE machines DROP COLUMN erased",
        ],
    ),
    (9, &["ALTER TABLE tokens DROP COLUMN accepts_data", "ALTER TABLE servers DROP COLUMN accepts_data"]),
];

/// Brings the schema back to what it was after migration `version`: the next [`Store::open`] brings it forward again.
///
/// # Errors
/// The store's.
pub fn back_to(tx: &mut Tx, version: i64) -> Result<()> {
    for (_, statements) in UNDO.iter().rev().filter(|(undone, _)| *undone > version) {
        for sql in *statements {
            tx.execute(sql, &[])?;
        }
    }
    tx.execute("DELETE FROM refinery_schema_history WHERE version > $1", crate::params![version])?;
    Ok(())
}

/// The secrets that [`fill_secrets`] writes, one for each sealed place.
pub const SECRETS: [&str; 9] =
    ["settings", "identity", "seeds", "password", "recovery", "documents", "image", "machine", "expected"];

/// Writes one secret to every sealed place of the schema, and a server `b` without any.
///
/// # Errors
/// The store's.
pub fn fill_secrets(tx: &mut Tx) -> Result<()> {
    settings::put(tx, "security", &Secret::from(SECRETS[0]), None)?;
    identity::put(tx, "client", &identity::Identity { certificate: String::new(), key: SECRETS[1].into() })?;
    let token = tokens::Token {
        uuid: "t".into(),
        uses_remaining: 1,
        expire_at: String::new(),
        expire_at_us: 1,
        description: String::new(),
        channel: "stable".into(),
        auto_remove: false,
        accepts_data: false,
        generation: 1,
    };
    tokens::insert(tx, &token)?;
    let seed = tokens::TokenSeed {
        token: "t".into(),
        name: "s".into(),
        description: String::new(),
        public: false,
        last_updated: 1,
        generation: 1,
    };
    tokens::insert_seed(tx, &seed, &Secret::from(SECRETS[2]))?;
    for id in ["a", "b"] {
        machines::insert(tx, &machines::Machine { id: id.into(), ..Default::default() })?;
        let (id, machine_id, name) = (id.into(), id.into(), id.into());
        let server = servers::Server { id, machine_id, name, channel: "stable".into(), ..Default::default() };
        servers::insert(tx, &server)?;
    }
    servers::set_bmc_password(tx, "a", Some(&Secret::from(SECRETS[3])))?;
    let os_secrets = Some(Secret::from(SECRETS[4]));
    servers::update_observation(tx, "a", 0, &servers::Observation { os_secrets, ..Default::default() })?;
    operations::insert(tx, &operations::Operation { id: "o".into(), ..Default::default() })?;
    operations::set_documents(tx, "o", Some(&Secret::from(SECRETS[5])))?;
    let image = images::PreparedImage { id: "i".into(), token: "t".into(), ..Default::default() };
    images::insert(tx, &image, &Secret::from(SECRETS[6]))?;
    machines::set_bmc_password(tx, "a", Some(&Secret::from(SECRETS[7])))?;
    let expected = expected_machines::Expected { id: "e".into(), ..Default::default() };
    expected_machines::insert(tx, &expected, Some(&Secret::from(SECRETS[8])))
}

/// Opens what [`fill_secrets`] wrote.
///
/// # Errors
/// The store's, or a secret that does not open.
pub fn read_secrets(tx: &mut Tx) -> Result<Vec<String>> {
    assert_eq!(servers::secrets(tx, "b")?, servers::Secrets::default());
    let server = servers::secrets(tx, "a")?;
    let all = [
        settings::get(tx, "security")?.map(|section| section.document),
        identity::get(tx, "client")?.map(|identity| identity.key),
        tokens::get_seed(tx, "t", "s")?.map(|(_, document)| document),
        server.bmc_password,
        server.os_secrets,
        operations::documents(tx, "o")?,
        images::get(tx, "i")?.map(|(_, seeds)| seeds),
        machines::bmc_password(tx, "a")?,
        expected_machines::bmc_password(tx, "e")?,
    ];
    Ok(all.into_iter().flatten().map(|secret| secret.expose().to_owned()).collect())
}

fn cluster() -> Option<String> {
    if let Ok(text) = std::env::var(RUNNING) {
        return Some(text);
    }
    let Some(programs) = programs() else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "PostgreSQL 15 or newer is needed to test");
        eprintln!("SKIPPED the PostgreSQL half: no PostgreSQL 15 or newer found, and MUSTER_TEST_PG is not set");
        return None;
    };
    let directory = start(&programs);
    Some(format!("host={} user=postgres", directory.display()))
}

/// The newest PostgreSQL of the distribution.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(Result::ok).filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin")))
    });
    versions.filter(|(version, bin)| *version >= 15 && bin.join("initdb").exists()).max().map(|(_, bin)| bin)
}

/// Makes and runs a cluster in a directory of its own. The shell that runs it holds our end of a pipe: when this process
/// is gone, however it ended, the shell stops PostgreSQL and removes the directory.
fn start(programs: &Path) -> PathBuf {
    const SCRIPT: &str = r#"
        set -e
        dir=$(mktemp -d /tmp/muster-pg-XXXXXX)
        trap 'rm -rf "$dir"' EXIT
        trap 'exit 1' INT TERM HUP
        "$1/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-sync \
            --locale-provider=icu --icu-locale=en --locale=C >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
        "$1/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=off -c full_page_writes=off \
            -c synchronous_commit=off -c max_connections=400 </dev/null >>"$dir/log" 2>&1 &
        server=$!
        trap 'kill -INT $server; wait $server || true; rm -rf "$dir"' EXIT
        until "$1/pg_isready" -q -h "$dir"; do kill -0 $server || { cat "$dir/log" >&2; exit 1; }; sleep 0.05; done
        echo "$dir"
        exec >/dev/null
        read -r line || true
    "#;
    let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let mut command = if root {
        // PostgreSQL refuses to run as root.
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let known = users.lines().any(|line| line.starts_with("postgres:"));
        let user = if known { "postgres" } else { "nobody" };
        let mut command = Command::new("setpriv");
        command.args(["--reuid", user, "--regid", "65534", "--clear-groups", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    command.args(["-c", SCRIPT, "sh"]).arg(programs).current_dir("/");
    let mut child: Child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a throw-away PostgreSQL can be started");
    let mut directory = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut directory).expect("PostgreSQL says where it is");
    assert!(!directory.is_empty(), "the throw-away PostgreSQL did not start, see above");
    // The thread keeps the pipe open until this process ends.
    let pipe = child.stdin.take();
    std::thread::spawn(move || {
        let ended = child.wait();
        drop(pipe);
        eprintln!("the throw-away PostgreSQL ended: {ended:?}");
    });
    PathBuf::from(directory.trim_end())
}
