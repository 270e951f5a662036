//! Channels that follow others: the rule from the wire and to it, and whether it goes with the others.

use super::Awaited;
use crate::{Error, promotion};
use muster_api::provisioning::channel::{Awaited as AwaitedView, Follow, FollowMembers, FollowPut};
use muster_domain::update::promotion::{DELAY_LIMIT, Hold, Rule, Rules};
use muster_store::{
    StoreError, Tx,
    tables::{
        ALL,
        channels::{self, Channel as ChannelRow, Rule as RuleRow},
    },
};
use std::cmp::Reverse;

/// As it is on the wire.
pub(super) fn shown(rule: &Rule) -> Follow {
    Follow {
        channel: rule.follows.clone(),
        after: rule.after,
        at_once: rule.at_once.map(|severity| severity.to_string()).unwrap_or_default(),
        rule: rule.to_string(),
    }
}

/// What a channel will get by itself, the next one first.
pub(super) fn awaits(channel: &ChannelRow, (outcome, versions): &Awaited) -> Vec<AwaitedView> {
    let version = |uuid: &str| versions.get(uuid).cloned().unwrap_or_default();
    let waiting = outcome.waiting.iter().filter(|waiting| waiting.channel == channel.name).map(|waiting| {
        let (due, reason) = match waiting.hold {
            Hold::Delay(until) => (until, "its delay".to_owned()),
            Hold::Frozen(due) => (due, format!("channel {:?} to be thawed", channel.name)),
        };
        AwaitedView { uuid: waiting.id, version: version(&waiting.id.to_string()), due, reason }
    });
    let mut awaits: Vec<_> = waiting.collect();
    awaits.sort_by(|a, b| a.due.cmp(&b.due).then_with(|| Reverse(&a.version).cmp(&Reverse(&b.version))));
    awaits
}

/// The rule that a request wants for a channel.
///
/// # Errors
/// [`Error::Invalid`] that says what is wrong with it.
pub(super) fn read(channel: &str, wanted: FollowPut) -> Result<Rule, Error> {
    let invalid = |why: String| Error::Invalid(format!("follow: {why}"));
    match wanted {
        FollowPut::Rule(text) => {
            let rule: Rule = text.parse().map_err(|error| invalid(format!("{error}")))?;
            if rule.channel != channel {
                return Err(invalid(format!("the rule is one of channel {:?}, and this is {channel:?}", rule.channel)));
            }
            Ok(rule)
        }
        FollowPut::Members(FollowMembers { channel: follows, after, at_once }) => {
            if follows.is_empty() {
                return Err(invalid("\"channel\" is missing: which one is followed?".into()));
            }
            if follows == channel {
                return Err(invalid(format!("channel {channel:?} cannot follow itself")));
            }
            if !(0..=DELAY_LIMIT).contains(&after) {
                return Err(invalid(format!("\"after\" must be from 0 to {DELAY_LIMIT} seconds, and is {after}")));
            }
            let at_once = match at_once.as_str() {
                "" => None,
                text => Some(text.parse().map_err(|_| {
                    invalid(format!("\"at_once\" must be none, low, medium, high or critical, and is {text:?}"))
                })?),
            };
            Ok(Rule { channel: channel.to_owned(), follows, after, at_once })
        }
    }
}

/// Why a channel cannot get updates by this rule; nothing where it can.
///
/// # Errors
/// The store's.
pub(super) fn refused(tx: &mut Tx<'_>, rule: &Rule) -> Result<Option<Error>, StoreError> {
    let all = channels::list(tx, None, ALL)?;
    if !all.iter().any(|other| other.name == rule.follows) {
        return Ok(Some(Error::Invalid(format!("follow: there is no channel {:?} to follow", rule.follows))));
    }
    let others = all.iter().filter(|other| other.name != rule.channel).filter_map(promotion::rule);
    let together = Rules::new(others.chain([rule.clone()]));
    Ok(together.err().map(|error| Error::Invalid(format!("follow: {error}"))))
}

/// As it is stored.
pub(super) fn row(rule: &Rule) -> RuleRow {
    RuleRow {
        follows: rule.follows.clone(),
        after_seconds: rule.after,
        at_once: rule.at_once.map(|severity| severity.to_string()),
    }
}
