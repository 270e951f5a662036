//! Registration with a token (`servers.md` 5.3, `lifecycle.md` 5.4). Takeover is closed: a token and a known hardware identity
//! do not replace the certificate of a server that answers.

use super::{check, tracking, view};
use crate::{
    Engine, Error,
    hardware::expected,
    machine::{self, By, Registered},
    services::{audit, operation},
};
use jiff::Timestamp;
use muster_api::{
    provisioning::{
        server::ServerPost,
        status::{ServerStatus, ServerType, StatusDetail},
    },
    time::Time,
};
use muster_domain::{machine::Refusal, server::enrolment::Enrolment};
use muster_store::{
    StoreError, Tx,
    tables::{
        operations,
        servers::{self, Server as ServerRow},
        tokens::{self, ConsumeError},
        warnings,
    },
};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

/// What became of a registration.
enum Outcome {
    /// It is pending now.
    Registered,
    /// Its identity belongs to somebody else; an operator has to hear of it.
    Alert(Alert),
    /// The token does not allow it.
    Refused(Error),
}

/// An attempt that is suspicious in itself.
struct Alert {
    /// Kind of what it was about: a server, or a machine without one.
    kind: &'static str,
    /// Which.
    object: String,
    /// The server's id: polled at once, since it may have been reinstalled.
    server: Option<String>,
    /// What the sender is told, and the operator.
    text: String,
}

impl Alert {
    fn server(row: ServerRow) -> Outcome {
        let text = format!(
            "server {:?} has this hardware identity and another certificate, and was seen alive; remove it, or wait until it is found unresponsive",
            row.name
        );
        Outcome::Alert(Self { kind: "server", object: row.name, server: Some(row.id), text })
    }

    fn machine(id: String, refusal: &Refusal) -> Outcome {
        Outcome::Alert(Self { kind: "machine", object: id, server: None, text: refusal.to_string() })
    }

    /// What is left of it when the transaction of the registration is undone.
    fn record(&self, tx: &mut Tx<'_>, sender: &str, now: i64) -> Result<(), StoreError> {
        audit::append(tx, &audit::refusal(now, "registration.takeover", self.kind, &self.object, sender))?;
        let emitted = warnings::Emitted {
            kind: "Registration refused".into(),
            scope: "registration".into(),
            entity_type: self.kind.into(),
            entity: self.object.clone(),
            messages: vec![format!("a machine that calls itself {sender:?} came with a valid token: {}", self.text)],
        };
        warnings::emit(tx, &emitted, &Uuid::now_v7().to_string(), now).map(drop)
    }
}

/// Registers the machine that proved to own `certificate` (PEM) with this fingerprint. Answers the center's client certificate.
///
/// # Errors
/// [`Error::NotAuthorized`] for an unknown token or a takeover, [`Error::NotPermitted`] for a spent or expired one,
/// [`Error::Invalid`], [`Error::Constraint`] when name or certificate are taken. No token use is lost by any of them.
pub async fn register(
    engine: &Engine,
    token: Uuid,
    post: ServerPost,
    certificate: String,
    fingerprint: String,
) -> Result<String, Error> {
    let invalid = |e: check::Invalid| Error::Invalid(format!("Validate server: {e}"));
    check::name(&post.name).map_err(invalid)?;
    check::connection_url(&post.connection_url).map_err(invalid)?;
    check::public_url(&post.public_connection_url).map_err(invalid)?;
    let now = engine.clock().now();
    let newcomer = Newcomer {
        token: token.to_string(),
        post,
        certificate,
        fingerprint,
        server_id: Uuid::now_v7().to_string(),
        machine_id: Uuid::now_v7().to_string(),
        now,
    };
    let outcome = Arc::new(Mutex::new(None));
    let (told, who) = (outcome.clone(), newcomer.post.name.clone());
    // A refusal rolls the token's use back, so it leaves the transaction as an error and is told beside it.
    let done = engine.store().write(move |tx| {
        let result = newcomer.register(tx)?;
        let rolled_back = !matches!(result, Outcome::Registered);
        *told.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(result);
        if rolled_back { Err(StoreError::Stale) } else { Ok(()) }
    });
    let done = done.await;
    let outcome = outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    match (outcome, done) {
        (Some(Outcome::Registered), Ok(())) => Ok(engine.identities().client.certificate_pem.clone()),
        (Some(Outcome::Alert(alert)), _) => {
            tracing::warn!(kind = alert.kind, object = %alert.object, sender = %who, "refused a registration");
            let (text, server, now) = (alert.text.clone(), alert.server.clone(), now.micros());
            engine.store().write(move |tx| alert.record(tx, &who, now)).await?;
            // If it was reinstalled, its old certificate is gone: the poll finds that out, and the next attempt passes.
            if let Some(id) = server {
                engine.poll_soon(&id);
            }
            Err(Error::NotAuthorized(text))
        }
        (Some(Outcome::Refused(e)), _) => Err(e),
        (_, Err(e)) => Err(match Error::from(e) {
            Error::Constraint(why) => Error::Constraint(format!("Create server: {why}")),
            e => e,
        }),
        (None, Ok(())) => Err(Error::Internal("the registration ended without an outcome".into())),
    }
}

struct Newcomer {
    token: String,
    post: ServerPost,
    certificate: String,
    fingerprint: String,
    server_id: String,
    machine_id: String,
    now: Time,
}

/// What its token gives a machine.
struct Terms {
    channel: String,
    accepts_data: bool,
}

impl Newcomer {
    /// The whole decision, in one transaction.
    fn register(&self, tx: &mut Tx<'_>) -> Result<Outcome, StoreError> {
        if let Some(row) = self.repeated(tx)? {
            let terms = Terms { channel: row.channel.clone(), accepts_data: row.accepts_data };
            return self.replace(tx, row, terms);
        }
        let terms = match tokens::consume(tx, &self.token, self.now.micros()) {
            Ok(consumed) => Terms { channel: consumed.channel, accepts_data: consumed.accepts_data },
            Err(ConsumeError::Store(e)) => return Err(e),
            Err(e) => return Ok(Outcome::Refused(refusal(&e))),
        };
        let (system_uuid, machine_key) = (identity(&self.post.system_uuid), identity(&self.post.machine_id));
        let known = servers::find_by_identity(tx, system_uuid.as_deref(), machine_key.as_deref())?;
        match known.into_iter().next() {
            None => self.create(tx, terms, system_uuid, machine_key),
            Some(row) => self.replace(tx, row, terms),
        }
    }

    /// The enrolment that this very registration made: a machine that lost our answer sends it again. The use of the token
    /// is taken already, and a token for one use may be gone with it; the machine's certificate is proof enough.
    fn repeated(&self, tx: &mut Tx<'_>) -> Result<Option<ServerRow>, StoreError> {
        let same = servers::get_by_certificate(tx, &self.fingerprint)?.filter(|row| {
            tracking::enrolment(row).is(ServerStatus::Pending, StatusDetail::Registering)
                && row.system_uuid == identity(&self.post.system_uuid)
                && row.machine_key == identity(&self.post.machine_id)
        });
        Ok(same)
    }

    fn create(
        &self,
        tx: &mut Tx<'_>,
        terms: Terms,
        system_uuid: Option<String>,
        machine_key: Option<String>,
    ) -> Result<Outcome, StoreError> {
        let machine_id = match self.machine(tx, None, false, system_uuid.as_deref(), machine_key.as_deref())? {
            Registered::Machine(id) => id,
            Registered::Refused(id, refusal) if refusal.is_alert() => return Ok(Alert::machine(id, &refusal)),
            Registered::Refused(_, refusal) => return Ok(Outcome::Refused(Error::NotAuthorized(refusal.to_string()))),
        };
        let actor = self.actor();
        let by = By::new(&actor, "registered with a token", self.now.micros());
        expected::registered(tx, &machine_id, system_uuid.as_deref(), by)?;
        let mut row = ServerRow {
            id: self.server_id.clone(),
            machine_id,
            name: self.post.name.clone(),
            server_type: ServerType::Unknown.as_str().into(),
            connection_url: self.post.connection_url.clone(),
            public_connection_url: self.post.public_connection_url.clone(),
            certificate: Some(self.certificate.clone()),
            fingerprint: Some(self.fingerprint.clone()),
            channel: terms.channel,
            accepts_data: terms.accepts_data,
            bmc: "{}".into(),
            system_uuid,
            machine_key,
            hardware_data: view::EMPTY_HARDWARE.into(),
            os_data: view::EMPTY_OS_DATA.into(),
            version_data: "{}".into(),
            bmc_data: view::EMPTY_BMC_DATA.into(),
            last_updated: self.now.micros(),
            last_seen: self.now.micros(),
            generation: 1,
            ..ServerRow::default()
        };
        tracking::put(&mut row, &self.pending());
        servers::insert(tx, &row)?;
        self.registered(tx, row, "server.register")
    }

    fn replace(&self, tx: &mut Tx<'_>, mut row: ServerRow, terms: Terms) -> Result<Outcome, StoreError> {
        let same = row.fingerprint.as_deref() == Some(self.fingerprint.as_str());
        let alive = tracking::status(&row) == ServerStatus::Ready;
        if !same && (alive || row.cluster.is_some()) {
            return Ok(Alert::server(row));
        }
        let ids = (row.system_uuid.clone(), row.machine_key.clone());
        match self.machine(tx, Some(&row), same, ids.0.as_deref(), ids.1.as_deref())? {
            Registered::Machine(id) => row.machine_id = id,
            Registered::Refused(_, refusal) if refusal.is_alert() => return Ok(Alert::server(row)),
            Registered::Refused(_, refusal) => return Ok(Outcome::Refused(Error::NotAuthorized(refusal.to_string()))),
        }
        let action = if same { "server.register-again" } else { "server.register" };
        row.connection_url.clone_from(&self.post.connection_url);
        row.certificate = Some(self.certificate.clone());
        row.fingerprint = Some(self.fingerprint.clone());
        row.channel = terms.channel;
        row.accepts_data = terms.accepts_data;
        row.last_updated = self.now.micros();
        row.system_uuid = row.system_uuid.or_else(|| identity(&self.post.system_uuid));
        row.machine_key = row.machine_key.or_else(|| identity(&self.post.machine_id));
        servers::update(tx, &row)?;
        let mut observation = tracking::observation(&row, &self.pending());
        observation.last_seen = Some(self.now.micros());
        servers::update_observation(tx, &row.id, row.observed, &observation)?;
        self.registered(tx, row, action)
    }

    /// What follows from either way: the first poll, and a look by whatever waited for this machine to come back.
    fn registered(&self, tx: &mut Tx<'_>, row: ServerRow, action: &str) -> Result<Outcome, StoreError> {
        let mut entry = audit::by(self.now.micros(), &self.actor(), action, "server", &row.name);
        operations::wake(tx, &row.machine_id)?;
        entry.operation_id = Some(operation::register(tx, &row, &self.actor(), self.now)?);
        audit::append(tx, &entry)?;
        Ok(Outcome::Registered)
    }

    fn machine(
        &self,
        tx: &mut Tx<'_>,
        server: Option<&ServerRow>,
        same: bool,
        system_uuid: Option<&str>,
        machine_key: Option<&str>,
    ) -> Result<Registered, StoreError> {
        let identity = machine::identity(system_uuid, machine_key);
        let actor = self.actor();
        let by = By::new(&actor, "registered with a token", self.now.micros());
        machine::register(tx, &identity, server, same, &self.machine_id, by)
    }

    fn pending(&self) -> Enrolment {
        let now: Timestamp = self.now.0;
        Enrolment::new(ServerStatus::Pending, StatusDetail::Registering, now)
    }

    fn actor(&self) -> String {
        format!("token:{}", audit::token_name_of(&self.token))
    }
}

fn refusal(e: &ConsumeError) -> Error {
    let text = "Consume token for server creation";
    match e {
        ConsumeError::Unknown => Error::NotAuthorized(format!("{text}: unknown token")),
        e => Error::NotPermitted(format!("{text}: {e}")),
    }
}

/// Hardware identities are compared in one spelling; an empty one is none (`servers.md` 17, 28).
pub(super) fn identity(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    (!text.is_empty()).then_some(text)
}
