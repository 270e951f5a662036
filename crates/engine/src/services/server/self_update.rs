//! What a machine reports about itself (`servers.md` 6).

use super::{check, tracking};
use crate::{Engine, Error, services::audit};
use muster_api::provisioning::{server::ServerSelfUpdate, status::SelfUpdateCause};
use muster_domain::server::self_update::{after_self_update, takes_url};
use muster_store::{
    StoreError,
    tables::{operations, servers},
};

/// Takes a report from the owner of the certificate with this fingerprint.
///
/// # Errors
/// [`Error::NotAuthorized`] for a certificate of no server, [`Error::Invalid`] for an unusable URL.
pub async fn self_update(engine: &Engine, fingerprint: String, report: ServerSelfUpdate) -> Result<(), Error> {
    let unknown = || Error::NotAuthorized(format!("Failed to find server by certificate (fingerprint: {fingerprint})"));
    let cause = report.known_cause();
    if cause.is_some_and(takes_url) {
        check::connection_url(&report.connection_url)?;
    }
    let (wanted, now) = (fingerprint.clone(), engine.clock().now());
    let done = engine.store().write(move |tx| {
        let mut row = servers::get_by_certificate(tx, &wanted)?.ok_or(StoreError::NotFound)?;
        let Some(cause) = cause else { return Ok(None) };
        let before = tracking::enrolment(&row);
        let step = after_self_update(&before, cause, now.0);
        if step.takes_url {
            row.connection_url.clone_from(&report.connection_url);
        }
        if step.reboot_done {
            let mut versions = tracking::versions(&row);
            versions.os.needs_reboot = false;
            row.version_data = serde_json::to_string(&versions).unwrap_or_default();
        }
        let mut observation = tracking::observation(&row, &step.enrolment);
        observation.connection_url = step.takes_url.then(|| row.connection_url.clone());
        observation.version_data =
            observation.version_data.or_else(|| step.reboot_done.then(|| row.version_data.clone()));
        observation.last_updated = Some(now.micros());
        servers::update_observation(tx, &row.id, row.observed, &observation)?;
        operations::wake(tx, &row.machine_id)?;
        if step.changed {
            let actor = crate::Actor(format!("machine:{}", row.name));
            let mut entry = audit::entry(now.micros(), &actor, "server.status", "server", &row.name);
            entry.from_state = Some(tracking::state_text(before.status, before.detail));
            entry.to_state = Some(tracking::state_text(step.enrolment.status, step.enrolment.detail));
            entry.reason = Some(describe(cause).into());
            audit::append(tx, &entry)?;
        }
        Ok(Some((row.id, step.poll)))
    });
    match done.await {
        Ok(Some((id, true))) => {
            engine.poll_soon(&id);
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(StoreError::NotFound) => Err(unknown()),
        Err(e) => Err(e.into()),
    }
}

fn describe(cause: SelfUpdateCause) -> &'static str {
    match cause {
        SelfUpdateCause::Unspecified => "no cause given",
        cause => cause.as_str(),
    }
}
