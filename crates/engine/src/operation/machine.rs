//! What an operation means for the machine that it is about: a lock that becomes an allocation, a registration that ends, a
//! cleaning that fails (`lifecycle.md` 5.2, 5.6).

use super::{Ending, Params, Plan, Wish, work::Held};
use crate::{
    Engine,
    machine::{self, By},
    poll,
};
use muster_domain::{machine::Command, operation::checkup::CheckupAction, server::enrolment::PollOrigin};
use muster_store::{
    StoreError, Tx,
    tables::{operations, servers::Server as ServerRow},
};

/// Does one step of a checkup and takes note of it.
pub(super) async fn act(
    engine: &Engine,
    held: &mut Held,
    row: Option<&ServerRow>,
    action: CheckupAction,
) -> Result<(), StoreError> {
    match action {
        CheckupAction::Look => {
            let outcome = match row {
                None => Err("its operating system is not registered any more".into()),
                Some(row) => {
                    let look = poll::poll(engine, &row.id, true, PollOrigin::Person);
                    held.holding(engine, look).await?.map_err(|e| e.to_string())
                }
            };
            held.plan.advance_look(outcome, engine.clock().now().0);
            Ok(())
        }
        CheckupAction::Commit => commit(engine, held).await,
    }
}

/// What hangs on the checkup, and the note of it, are one transaction.
async fn commit(engine: &Engine, held: &mut Held) -> Result<(), StoreError> {
    let (command, reason) = match &held.params.wish {
        Wish::Allocate(claim) => (Command::Commit, format!("allocated to {} for {}", claim.owner, claim.reference)),
        _ => (Command::Done { erased: false }, "registered again".to_owned()),
    };
    let mut refused = held.plan.clone();
    held.plan.advance_commit(Ok(()));
    let saved = held.row(engine, "running", "the machine answers");
    let id = held.operation.machine_id.clone().unwrap_or_default();
    let done = engine.store().write(move |tx| {
        let by = By { actor: &saved.actor, reason: &reason, operation: Some(&saved.id), now: saved.updated_at };
        let Some((row, server, _)) = machine::read(tx, &id)? else { return Ok(Err("its record is gone".to_owned())) };
        match machine::change(tx, row, server.as_ref(), &command, by)? {
            Ok(_) => operations::save(tx, &saved).map(Ok),
            Err(refusal) => Ok(Err(refusal.to_string())),
        }
    });
    match done.await? {
        Ok(generation) => held.operation.generation = generation,
        Err(why) => {
            refused.advance_commit(Err(why));
            held.plan = refused;
        }
    }
    Ok(())
}

/// An operation ends, well or not: what the machine was in for it ends with it.
pub(super) fn ended(
    tx: &mut Tx<'_>,
    operation: &operations::Operation,
    params: &Params,
    plan: &Plan,
    ending: Ending,
) -> Result<(), StoreError> {
    let owns = match plan {
        Plan::Checkup(_) => true,
        // Until it is away, nothing has happened to the machine.
        Plan::Reset(plan) => plan.is_away(),
        _ => false,
    };
    // What ends well was written with the step that made it so.
    let Some(machine) = operation.machine_id.as_ref().filter(|_| owns && ending != Ending::Succeeded) else {
        return Ok(());
    };
    let Some((row, server, _)) = machine::read(tx, machine)? else { return Ok(()) };
    let reason = match ending {
        Ending::Cancelled => format!("{} cancelled", params.wish.kind()),
        _ => format!("{} failed: {}", params.wish.kind(), operation.reason),
    };
    let by = By { actor: "system", reason: &reason, operation: Some(&operation.id), now: operation.updated_at };
    // Refused when the machine has gone on meanwhile: then there is nothing to end.
    machine::change(tx, row, server.as_ref(), &Command::Fail, by).map(drop)
}
