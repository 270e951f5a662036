//! What can be done with machines, with one or with many: checked first for all of them, then confirmed, then done.

use super::find;
use crate::args::YesArgs;
use crate::cmd::items;
use crate::context::{Context, Loss};
use crate::error::{Error, Result};
use crate::follow::{FollowArgs, follow, hint};
use crate::names;
use crate::remote::Remote;
use crate::table::compact;
use crate::text::{duration, field};
use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use muster_api::machine::MovePost;
use serde_json::Value;

/// The moves.
#[derive(Debug, Subcommand)]
pub(crate) enum Moves {
    /// Offer machines for allocations
    SetAvailable(MoveArgs),
    /// Do not offer machines
    SetUnavailable(MoveArgs),
    /// Note a fault: --note says which
    SetDefective(MoveArgs),
    /// They have left the rack; their records stay
    RemoveFromRack(MoveArgs),
    /// Give machines to somebody
    Allocate {
        /// Who takes them
        #[arg(long)]
        owner: String,
        /// What for
        #[arg(long = "for", default_value = "", hide_default_value = true)]
        reference: String,
        /// standalone or appliance
        #[arg(long, default_value = "standalone")]
        kind: String,
        /// Which.
        #[command(flatten)]
        args: MoveArgs,
    },
    /// Give machines back: they are reset and come back clean
    Release {
        /// Although they still carry workloads
        #[arg(long)]
        force: bool,
        /// They cannot be reached: do not reset them, and keep them out of the pool
        #[arg(long)]
        unreachable: bool,
        /// Do nothing before this time is over, e.g. 10m, and let it be cancelled until then
        #[arg(long, value_parser = duration)]
        grace: Option<jiff::SignedDuration>,
        /// What is wrong with them: nobody gets them until that alert is ended
        #[arg(long, default_value = "", hide_default_value = true)]
        problem: String,
        /// Which.
        #[command(flatten)]
        args: MoveArgs,
    },
    /// Reset machines, to be fit for the next owner
    Clean {
        /// Do nothing before this time is over, e.g. 10m, and let it be cancelled until then
        #[arg(long, value_parser = duration)]
        grace: Option<jiff::SignedDuration>,
        /// Which.
        #[command(flatten)]
        args: MoveArgs,
    },
    /// Find out again what machines are
    ReRegister {
        /// Although they still carry workloads
        #[arg(long)]
        force: bool,
        /// Which.
        #[command(flatten)]
        args: MoveArgs,
    },
    /// End what is being done with machines; what has failed already is given up
    Cancel(MoveArgs),
    /// End the records of machines
    Decommission(MoveArgs),
    /// Accept the data on the disks of machines: --note says why
    Waive(MoveArgs),
    /// No new allocation for now
    Hold(MoveArgs),
    /// The end of a hold
    Unhold(MoveArgs),
    /// Not to be released, reset, cleaned or decommissioned
    Protect(MoveArgs),
    /// The end of a protection
    Unprotect(MoveArgs),
    /// Never back into the pool
    Retire(MoveArgs),
    /// The end of that
    Unretire(MoveArgs),
}

/// Which machines, and how.
#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    /// Ids, servers, serial numbers or inventory numbers
    #[arg(add = ArgValueCandidates::new(names::machines), required_unless_present = "selector")]
    machines: Vec<String>,
    /// All machines for which this expression holds, e.g. 'asset.rack == "r7"'
    #[arg(short = 'l', long, conflicts_with = "machines")]
    selector: Option<String>,
    /// Why; kept with the machine's notes
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Go on with those that can, when some cannot
    #[arg(long)]
    skip_refused: bool,
    /// Consent.
    #[command(flatten)]
    yes: YesArgs,
    /// Whether to stay.
    #[command(flatten)]
    follow: FollowArgs,
}

/// Seconds of grace, as far as the center takes them.
fn seconds(grace: Option<jiff::SignedDuration>) -> u32 {
    grace.map_or(0, |grace| u32::try_from(grace.as_secs()).unwrap_or(u32::MAX))
}

impl Moves {
    /// Name, body and the rest.
    fn parts(self) -> (&'static str, MovePost, MoveArgs) {
        let plain = MovePost::default();
        match self {
            Self::SetAvailable(args) => ("set-available", plain, args),
            Self::SetUnavailable(args) => ("set-unavailable", plain, args),
            Self::SetDefective(args) => ("set-defective", plain, args),
            Self::RemoveFromRack(args) => ("remove-from-rack", plain, args),
            Self::Allocate { owner, reference, kind, args } => {
                ("allocate", MovePost { owner, reference, kind, ..plain }, args)
            }
            Self::Release { force, unreachable, grace, problem, args } => {
                ("release", MovePost { force, unreachable, grace_seconds: seconds(grace), problem, ..plain }, args)
            }
            Self::Clean { grace, args } => ("clean", MovePost { grace_seconds: seconds(grace), ..plain }, args),
            Self::ReRegister { force, args } => ("re-register", MovePost { force, ..plain }, args),
            Self::Cancel(args) => ("cancel", plain, args),
            Self::Decommission(args) => ("decommission", plain, args),
            Self::Waive(args) => ("waive", plain, args),
            Self::Hold(args) => ("hold", plain, args),
            Self::Unhold(args) => ("unhold", plain, args),
            Self::Protect(args) => ("protect", plain, args),
            Self::Unprotect(args) => ("unprotect", plain, args),
            Self::Retire(args) => ("retire", plain, args),
            Self::Unretire(args) => ("unretire", plain, args),
        }
    }
}

/// A machine that a move is asked for.
struct Asked {
    id: String,
    called: String,
}

/// Checks, asks, does.
pub(super) async fn run(ctx: &Context, remote: &Remote, command: Moves) -> Result {
    let (name, mut post, args) = command.parts();
    post.note.clone_from(&args.note);
    let body = serde_json::to_value(&post).unwrap_or_default();
    let asked = asked(remote, &args).await?;
    if asked.is_empty() {
        return Err(Error::NotFound("no machine fits".into()));
    }
    let (mut planned, mut refused, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    for machine in asked {
        let path = super::path(&machine.id).below(&format!(":{name}")).flag("dry_run", true);
        match remote.post(&path, Some(&body)).await {
            Ok(reply) => {
                let loses = items(&reply.metadata["loses"]).iter().filter_map(Value::as_str);
                lost.extend(loses.map(|loss| format!("{}: {loss}", machine.called)));
                planned.push((machine, reply.metadata));
            }
            Err(error @ (Error::Conflict(_) | Error::NotFound(_) | Error::Server(_))) => refused.push((machine, error)),
            Err(error) => return Err(error),
        }
    }
    // What is answered for one alone is the outcome of the command.
    if refused.len() + planned.len() > 1 {
        for (machine, error) in &refused {
            eprintln!("{}: {error}", machine.called);
        }
    }
    if args.dry_run && !planned.is_empty() {
        ctx.print(&compact(Some(&["Machine", "Steps"]), &planned.iter().map(steps).collect::<Vec<_>>()));
    }
    let count = refused.len();
    if count > 0 && (planned.is_empty() || !args.skip_refused) {
        return match refused.into_iter().next() {
            Some((_, error)) if count == 1 && planned.is_empty() => Err(error),
            _ => {
                let text = format!("{count} of {} cannot, so nothing was done", count + planned.len());
                Err(Error::Conflict(text))
            }
        };
    }
    if args.dry_run {
        return Ok(());
    }
    if !lost.is_empty() && ctx.must_confirm(args.yes.yes) {
        ctx.confirm(&Loss { action: format!("{name} {}", plural(planned.len())), lost })?;
    }
    let mut operations = Vec::new();
    for (machine, _) in &planned {
        let path = super::path(&machine.id).below(&format!(":{name}"));
        let reply = remote.post(&path, Some(&body)).await?;
        operations.extend(Some(field(&reply.metadata, "operation")).filter(|id| !id.is_empty()));
    }
    for id in &operations {
        if args.follow.wanted() {
            follow(ctx, remote, id, &args.follow).await?;
        } else {
            hint(ctx, Some(id));
        }
    }
    Ok(())
}

async fn asked(remote: &Remote, args: &MoveArgs) -> Result<Vec<Asked>> {
    let mut asked: Vec<Asked> = Vec::new();
    if let Some(expression) = &args.selector {
        for machine in find::matching(remote, expression).await? {
            let (id, server) = (field(&machine, "id"), field(&machine, "server"));
            asked.push(Asked { called: if server.is_empty() { id.clone() } else { server }, id });
        }
    }
    for text in &args.machines {
        let id = find::one(remote, text).await?;
        if asked.iter().all(|other| other.id != id) {
            asked.push(Asked { id, called: text.clone() });
        }
    }
    Ok(asked)
}

fn steps((machine, plan): &(Asked, Value)) -> Vec<String> {
    let mut states: Vec<String> = Vec::new();
    for step in items(&plan["steps"]) {
        if states.is_empty() {
            states.push(field(step, "from"));
        }
        states.push(field(step, "to"));
    }
    let text = if states.is_empty() { "no change of state".to_owned() } else { states.join(" → ") };
    vec![machine.called.clone(), text]
}

fn plural(count: usize) -> String {
    if count == 1 { "1 machine".into() } else { format!("{count} machines") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plan_is_the_way_that_a_machine_would_go() {
        let plan = json!({"steps": [{"from": "available_reserved", "to": "available"}, {"from": "available", "to": "unavailable"}]});
        let machine = || Asked { id: "m".into(), called: "web1".into() };
        assert_eq!(steps(&(machine(), plan)), ["web1", "available_reserved → available → unavailable"]);
        assert_eq!(steps(&(machine(), json!({"steps": []})))[1], "no change of state");
        assert_eq!(seconds(Some(jiff::SignedDuration::from_mins(10))), 600);
    }
}
