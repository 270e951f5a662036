//! What people ask of a machine by name: checked by `domain`, done at once, or begun as an operation (`lifecycle.md` 1.3, 5.6).

use super::{create::claim, missing, view::losses};
use crate::{
    Actor, ChannelIndexes, Engine, Error,
    machine::{self, By},
    operation::Wish,
    services::{audit, operation, server::tracking},
};
use muster_api::{
    machine::{ClaimPost, MoveOutcome, MovePost, MoveStep},
    time::Time,
};
use muster_domain::{
    machine::{
        self as domain, Actor as Who, Command, EdgeId, Lifecycle, Move, Record, Refusal,
        alert::{self, Class, Mode, RELEASE_SOURCE, Report, Reported},
        allocatable::obstacles,
        asset::{self, faults},
        axes::{AllocationKind, Claim},
        moves::Terms,
        refusal::{Guard, Rule},
        transition,
    },
    server::version::compute,
};
use muster_store::{StoreError, Tx, tables::servers::Server as ServerRow};

/// Name of the alert that a user's word about a machine becomes.
const PROBLEM: &str = "problem";
/// The longest time of grace, in seconds: a week.
const GRACE: u32 = 7 * 86_400;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The move, or a state that somebody wants to set whatever may lead there.
    pub what: What,
    /// With what.
    pub post: MovePost,
    /// Only say what would happen.
    pub dry_run: bool,
}

/// A move, or a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// By its name.
    Move(Move),
    /// Only four states have a move of their own; for the others this answers why not.
    State(Lifecycle),
}

/// Makes a move, or begins it.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`] with every field at fault, [`Error::Refused`] with the rule,
/// [`Error::Retryable`] while something else is under way.
pub async fn make(engine: &Engine, actor: &Actor, id: &str, request: Request) -> Result<MoveOutcome, Error> {
    let wanted = match request.what {
        What::Move(wanted) => wanted,
        What::State(Lifecycle::Available) => Move::SetAvailable,
        What::State(Lifecycle::Unavailable) => Move::SetUnavailable,
        What::State(Lifecycle::Defective) => Move::SetDefective,
        What::State(Lifecycle::RemovedFromRack) => Move::RemoveFromRack,
        What::State(to) => return Err(no_button(engine, id, to).await),
    };
    let terms = terms(wanted, &request.post, &actor.0)?;
    let note = asset::note("note", &request.post.note)
        .map_err(|found| Error::Invalid(format!("Invalid request, {}", faults(&found))))?;
    let problem = request.post.problem.trim().to_owned();
    if !problem.is_empty() {
        alert::check_text("problem", &problem).map_err(|e| Error::Invalid(format!("Invalid request, {e}")))?;
    }
    let grace_seconds = request.post.grace_seconds;
    let asked = Asked { wanted, terms, note, problem, grace_seconds, dry_run: request.dry_run };
    let (channels, now) = (engine.channel_index().await?, engine.clock().micros());
    let (wanted_id, actor) = (id.to_owned(), actor.clone());
    let done = engine.store().write(move |tx| asked.carry_out(tx, &wanted_id, &actor, &channels, now));
    let (outcome, gone) = done.await??;
    forget(engine, gone);
    Ok(outcome)
}

/// A state that nobody sets by hand: the rule says what leads there.
async fn no_button(engine: &Engine, id: &str, to: Lifecycle) -> Error {
    let wanted = id.to_owned();
    let found = engine.store().read(move |tx| machine::read(tx, &wanted)).await;
    match found {
        Err(e) => e.into(),
        Ok(None) => missing(id),
        Ok(Some((_, _, machine))) => match transition(&machine, &Command::SetStatus(to)) {
            Err(refusal) => refusal.into(),
            Ok(_) => Refusal::guard(machine.lifecycle, Some(to), Guard::Already).into(),
        },
    }
}

/// The connection to a server whose record went is of no use any more.
pub(super) fn forget(engine: &Engine, gone: Option<String>) {
    if let Some(server) = gone {
        engine.forget_machine(&server);
    }
}

/// Whether an update or a reboot of a server is due.
pub(super) async fn update_due(engine: &Engine, server: &ServerRow) -> Result<bool, Error> {
    Ok(is_due(server, &engine.channel_index().await?))
}

fn is_due(server: &ServerRow, channels: &ChannelIndexes) -> bool {
    let computed = compute(&tracking::installed(&tracking::versions(server)), channels.of(&server.channel));
    computed.needs_update || computed.needs_reboot
}

/// What goes with a move; what does not is refused by name.
fn terms(wanted: Move, post: &MovePost, actor: &str) -> Result<Terms, Error> {
    let takes = [
        ("force", post.force, matches!(wanted, Move::Release | Move::ReRegister)),
        ("unreachable", post.unreachable, wanted == Move::Release),
        ("grace_seconds", post.grace_seconds != 0, matches!(wanted, Move::Release | Move::Clean)),
        ("problem", !post.problem.is_empty(), wanted == Move::Release),
        ("owner", !post.owner.is_empty(), wanted == Move::Allocate),
        ("kind", !post.kind.is_empty(), wanted == Move::Allocate),
        ("reference", !post.reference.is_empty(), wanted == Move::Allocate),
    ];
    let mut wrong: Vec<String> = takes
        .into_iter()
        .filter(|(_, given, taken)| *given && !taken)
        .map(|(field, ..)| format!("{field}: is nothing that {wanted} takes"))
        .collect();
    if post.grace_seconds > GRACE {
        wrong.push(format!("grace_seconds: is {}; at most {GRACE} (a week)", post.grace_seconds));
    }
    if post.unreachable && post.grace_seconds > 0 {
        wrong.push(
            "grace_seconds: nothing is sent to a machine that is unreachable, so there is nothing to wait for".into(),
        );
    }
    let claim = if wanted == Move::Allocate {
        let post = ClaimPost { owner: post.owner.clone(), kind: post.kind.clone(), reference: post.reference.clone() };
        claim(&post, "").map_err(|found| wrong.push(faults(&found))).ok()
    } else {
        None
    };
    if !wrong.is_empty() {
        return Err(Error::Invalid(format!("Invalid request, {}", wrong.join("; "))));
    }
    let nobody = Claim { owner: actor.to_owned(), kind: AllocationKind::Standalone, reference: String::new() };
    Ok(Terms { claim: claim.unwrap_or(nobody), force: post.force, unreachable: post.unreachable })
}

/// A checked request.
struct Asked {
    wanted: Move,
    terms: Terms,
    note: String,
    /// What its user found wrong.
    problem: String,
    grace_seconds: u32,
    dry_run: bool,
}

/// What was done, and the server whose record went with it.
type Done = Result<(MoveOutcome, Option<String>), Error>;

impl Asked {
    /// The whole decision, in one transaction.
    fn carry_out(
        &self,
        tx: &mut Tx<'_>,
        id: &str,
        actor: &Actor,
        channels: &ChannelIndexes,
        now: i64,
    ) -> Result<Done, StoreError> {
        let Some((row, server, mut known)) = machine::read(tx, id)? else { return Ok(Err(missing(id))) };
        if let (Some(enrolment), Some(server)) = (&mut known.enrolment, &server) {
            enrolment.update_due = is_due(server, channels);
        }
        // Work that has not changed the machine yet is ended without changing it.
        if self.wanted == Move::Cancel && known.operation.is_none() && !self.dry_run {
            let now = Time::from_micros(now);
            if operation::cancel_on_machine(tx, id, actor, now)? {
                return Ok(Ok((self.outcome(), None)));
            }
        }
        let plan = match self.wanted.plan(&known, &self.terms) {
            Ok(plan) => plan,
            Err(refusal) => return Ok(Err(refused(refusal, &known, &self.terms))),
        };
        if self.wanted.needs_note(&known) && self.note.is_empty() {
            let why = match self.wanted {
                Move::SetDefective => "say what is wrong with the machine",
                Move::SetAvailable => "say how the machine was repaired",
                _ => "say why the data on its disks is accepted",
            };
            return Ok(Err(Error::Invalid(format!("Invalid request, note: is missing; {why}"))));
        }
        let mut outcome = MoveOutcome {
            steps: plan.records.iter().filter_map(step).collect(),
            loses: losses(self.wanted, &known, &row, server.as_ref()),
            ..self.outcome()
        };
        if self.dry_run {
            return Ok(Ok((outcome, None)));
        }
        if let Some(wish) = self.wish() {
            let Some(server) = server else {
                let text =
                    "the machine has no operating system, and this version cannot install one through the BMC yet";
                return Ok(Err(Error::NotPermitted(text.into())));
            };
            let begun = operation::start_on_machine(tx, &server, wish, self.terms.force, channels, actor, now)?;
            let operation = match begun {
                Ok(operation) => operation,
                Err(refused) => return Ok(Err(refused)),
            };
            if !self.note.is_empty() {
                let by = By { actor: &actor.0, reason: &self.note, operation: Some(&operation), now };
                machine::note(tx, id, "note", &self.note, by)?;
            }
            self.report_problem(tx, id, By { actor: &actor.0, reason: "release", operation: Some(&operation), now })?;
            outcome.operation = operation;
            return Ok(Ok((outcome, None)));
        }
        if self.wanted == Move::Cancel {
            operation::cancel_on_machine(tx, id, actor, Time::from_micros(now))?;
        }
        let kind = self.note_kind(known.lifecycle);
        let reason = if self.note.is_empty() { self.wanted.as_str() } else { &self.note };
        let by = By::new(&actor.0, reason, now);
        let command = self.wanted.command(&known, &self.terms);
        let changed = match machine::change(tx, row, server.as_ref(), &command, by)? {
            Ok(changed) => changed,
            Err(refusal) => return Ok(Err(refused(refusal, &known, &self.terms))),
        };
        // A change of state has its entry; one of a flag is told here.
        if changed.records.is_empty() {
            let mut entry = audit::entry(now, actor, &format!("machine.{}", self.wanted), "machine", id);
            entry.reason = Some(self.note.clone()).filter(|note| !note.is_empty());
            audit::append(tx, &entry)?;
        }
        if !self.note.is_empty() && self.wanted != Move::Waive {
            machine::note(tx, id, kind, &self.note, by)?;
        }
        self.report_problem(tx, id, By::new(&actor.0, self.wanted.as_str(), now))?;
        outcome.steps = changed.records.iter().filter_map(step).collect();
        Ok(Ok((outcome, changed.dropped)))
    }

    /// What its user found wrong becomes a note of a fault, and an alert that keeps the machine from the next one.
    fn report_problem(&self, tx: &mut Tx<'_>, id: &str, by: By<'_>) -> Result<(), StoreError> {
        if self.problem.is_empty() {
            return Ok(());
        }
        machine::note(tx, id, "fault", &self.problem, by)?;
        let Some((row, ..)) = machine::read(tx, id)? else { return Ok(()) };
        // One each: who answered for the last one did not answer for this one.
        let known = machine::alerts::list(tx, id, by.now)?;
        let known = |name: &str| known.iter().any(|a| a.source == RELEASE_SOURCE && a.name == name);
        let further = (2..).map(|n| format!("{PROBLEM}-{n}"));
        let name = std::iter::once(PROBLEM.to_owned()).chain(further).find(|name| !known(name)).unwrap_or_default();
        let alert = Reported {
            name,
            classes: [Class::PreventAllocations].into(),
            message: self.problem.clone(),
            expires: None,
        };
        let (source, author) = (RELEASE_SOURCE.into(), by.actor.to_owned());
        let report = Report { source, mode: Mode::Merge, alerts: vec![alert], author };
        // Where there are too many alerts for one more, the note is what stays.
        machine::alerts::report(tx, row, report, by).map(drop)
    }

    /// Nothing done yet.
    fn outcome(&self) -> MoveOutcome {
        MoveOutcome {
            name: self.wanted.as_str().into(),
            dry_run: self.dry_run,
            steps: Vec::new(),
            loses: Vec::new(),
            operation: String::new(),
        }
    }

    /// The work that it begins, if any.
    fn wish(&self) -> Option<Wish> {
        if !self.wanted.is_work(&self.terms) {
            return None;
        }
        let grace_seconds = self.grace_seconds;
        match self.wanted {
            Move::Release => Some(Wish::Release { grace_seconds }),
            Move::Clean => Some(Wish::Clean { grace_seconds }),
            Move::Allocate => Some(Wish::Allocate(self.terms.claim.clone())),
            Move::ReRegister => Some(Wish::ReRegister),
            _ => None,
        }
    }

    fn note_kind(&self, from: Lifecycle) -> &'static str {
        match self.wanted {
            Move::SetDefective => "fault",
            Move::SetAvailable | Move::SetUnavailable if from == Lifecycle::Defective => "repair",
            _ => "note",
        }
    }
}

/// What an operation has to find before it begins, or begins anew; the lock or the state that goes with it is written.
pub(crate) fn prepare(
    tx: &mut Tx<'_>,
    id: &str,
    wish: &Wish,
    force: bool,
    channels: &ChannelIndexes,
    by: By<'_>,
) -> Result<Result<(), Error>, StoreError> {
    let nobody = Claim { owner: by.actor.to_owned(), kind: AllocationKind::Standalone, reference: String::new() };
    let (wanted, claim) = match wish {
        Wish::Release { .. } => (Move::Release, nobody),
        Wish::Clean { .. } => (Move::Clean, nobody),
        Wish::Allocate(claim) => (Move::Allocate, claim.clone()),
        Wish::ReRegister => (Move::ReRegister, nobody),
        _ => return Ok(Ok(())),
    };
    let Some((row, server, mut known)) = machine::read(tx, id)? else { return Ok(Err(missing(id))) };
    if let (Some(enrolment), Some(server)) = (&mut known.enrolment, &server) {
        enrolment.update_due = is_due(server, channels);
    }
    let terms = Terms { claim, force, unreachable: false };
    if let Err(refusal) = wanted.plan(&known, &terms) {
        return Ok(Err(refused(refusal, &known, &terms)));
    }
    // A reset changes the machine when it has taken it: until then nothing has happened.
    if matches!(wanted, Move::Release | Move::Clean) {
        return Ok(Ok(()));
    }
    let command = wanted.command(&known, &terms);
    Ok(machine::change(tx, row, server.as_ref(), &command, by)?.map(drop).map_err(Error::from))
}

/// A refusal; for an allocation with all that is in the way.
fn refused(refusal: Refusal, known: &domain::Machine, terms: &Terms) -> Error {
    let detail = match refusal.rule {
        Rule::Guard(Guard::NotAllocatable) => {
            let found: Vec<&str> = obstacles(known, &terms.claim.owner).into_iter().map(|o| o.text()).collect();
            found.join("; ")
        }
        _ => String::new(),
    };
    Error::Refused(refusal, detail)
}

fn step(record: &Record) -> Option<MoveStep> {
    let EdgeId::Edge(edge) = record.edge else { return None };
    let actor = match record.actor {
        Who::Person => "person",
        Who::System => "system",
        Who::Policy => "policy",
    };
    Some(MoveStep {
        edge,
        from: record.from.map(|from| from.as_str().to_owned()).unwrap_or_default(),
        to: record.to.as_str().into(),
        actor: actor.into(),
    })
}
