//! Updates that enter a channel by themselves, because it follows another one: what the rules say becomes rows.
//!
//! It wakes when something was committed and when a delay ends. Several daemons may look at the same time: an update
//! enters a channel by a rule once, and of the transactions that try it one comes first.

use crate::{Actor, Engine, Error, services::audit};
use muster_api::time::Time;
use muster_domain::update::{
    index::Severity,
    promotion::{self, Member, Outcome, Rule, Rules, RulesError},
};
use muster_store::{
    StoreError, Tx,
    tables::{
        ALL,
        channels::{self, Channel as ChannelRow},
        updates,
    },
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Commits within this time are looked at together.
const GATHER: Duration = Duration::from_millis(200);
/// Longest time without a look, in case word of a commit got lost.
const LONGEST: Duration = Duration::from_secs(60);

/// Lets updates enter channels until it is told to stop.
pub async fn run(engine: Engine, shutdown: CancellationToken) {
    let mut changed = engine.store().changed();
    let (mut seen, mut said) = (Seen::default(), String::new());
    loop {
        changed.borrow_and_update();
        let pause = match look(&engine, &mut seen).await {
            Ok(pause) => {
                said.clear();
                pause
            }
            Err(error) => {
                let text = error.to_string();
                if text != said {
                    tracing::error!(%error, "no update can enter a channel by itself");
                    said = text;
                }
                LONGEST
            }
        };
        let woken = async {
            changed.changed().await.ok();
            tokio::time::sleep(GATHER).await;
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = woken => {}
        }
    }
}

/// What a look found, so that the next one can be short.
#[derive(Default)]
struct Seen {
    changes: Option<i64>,
    next: Option<Time>,
}

/// Looks whether something is due; for how long nothing will be.
async fn look(engine: &Engine, seen: &mut Seen) -> Result<Duration, Error> {
    let now = engine.clock().now();
    let changes = engine.store().read(updates::changes).await?;
    if seen.changes != Some(changes) || seen.next.is_some_and(|next| next <= now) {
        seen.next = once(engine).await?;
        seen.changes = Some(changes);
    }
    let left = |next: Time| Duration::from_micros(u64::try_from(next.micros() - now.micros()).unwrap_or_default());
    Ok(seen.next.map_or(LONGEST, left).min(LONGEST))
}

/// Lets the updates that are due now enter their channels; answers when the next one will be due.
///
/// # Errors
/// The store's, or rules that contradict each other.
pub async fn once(engine: &Engine) -> Result<Option<Time>, Error> {
    let now = engine.clock().now();
    let found = engine.store().read(move |tx| outcome(tx, now)).await??;
    if !found.promotions.is_empty() {
        engine.store().write(move |tx| promote(tx, now)).await??;
    }
    Ok(found.next())
}

fn promote(tx: &mut Tx<'_>, now: Time) -> Result<Result<(), RulesError>, StoreError> {
    let outcome = match outcome(tx, now)? {
        Ok(outcome) => outcome,
        Err(error) => return Ok(Err(error)),
    };
    let mut entries = Vec::new();
    for promotion in outcome.promotions {
        let uuid = promotion.id.to_string();
        let Some(rule) = channels::get(tx, &promotion.channel)?.and_then(|channel| rule(&channel)) else { continue };
        if !updates::enter(tx, &uuid, &promotion.channel, now.micros())? {
            continue;
        }
        let mut entry = audit::entry(now.micros(), &Actor::system(), "update.promote", "update", &uuid);
        entry.from_state = Some(promotion.from);
        entry.to_state = Some(promotion.channel);
        entry.reason = Some(rule.to_string());
        entry.detail = serde_json::json!({"at_once": promotion.at_once}).to_string();
        entries.push(entry);
    }
    for entry in &entries {
        audit::append(tx, entry)?;
    }
    Ok(Ok(()))
}

/// What the rules say at a time. Updates that a channel will get must be kept: [`Outcome::awaited`].
///
/// # Errors
/// The store's; within, rules that contradict each other, which no service lets in.
pub(crate) fn outcome(tx: &mut Tx<'_>, now: Time) -> Result<Result<Outcome, RulesError>, StoreError> {
    let channels = channels::list(tx, None, ALL)?;
    let rules = match Rules::new(channels.iter().filter_map(rule)) {
        Ok(rules) => rules,
        Err(error) => return Ok(Err(error)),
    };
    if rules.iter().next().is_none() {
        return Ok(Ok(Outcome::default()));
    }
    let frozen: BTreeSet<String> =
        channels.into_iter().filter(|channel| channel.freeze.is_some()).map(|channel| channel.name).collect();
    let members = updates::members(tx)?.into_iter().map(member).collect::<Result<Vec<_>, _>>()?;
    Ok(Ok(promotion::promote(&rules, &members, &frozen, &updates::withdrawn(tx)?, now)))
}

/// The rule of a channel, if it follows another one.
pub(crate) fn rule(channel: &ChannelRow) -> Option<Rule> {
    channel.rule.as_ref().map(|stored| Rule {
        channel: channel.name.clone(),
        follows: stored.follows.clone(),
        after: stored.after_seconds,
        at_once: stored.at_once.as_deref().and_then(|severity| severity.parse().ok()),
    })
}

fn member(stored: updates::Member) -> Result<Member, StoreError> {
    let id = Uuid::parse_str(&stored.uuid).map_err(|_| StoreError::Corrupt("the UUID of an update is none".into()))?;
    let since: BTreeMap<String, Time> =
        stored.since.into_iter().map(|(channel, at)| (channel, Time::from_micros(at))).collect();
    // What nobody knows the urgency of is not urgent.
    let severity = stored.severity.parse().unwrap_or(Severity::None);
    Ok(Member { id, severity, since, entered: stored.entered.into_iter().collect() })
}

impl From<RulesError> for Error {
    fn from(error: RulesError) -> Self {
        Self::Internal(format!("the stored rules of channels are broken: {error}"))
    }
}
