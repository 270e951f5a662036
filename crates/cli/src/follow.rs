//! Following an operation to its end. Whoever follows only looks: leaving cancels nothing (cli.md 11.1).

use crate::context::Context;
use crate::error::{Error, Result};
use crate::progress::{self, Ending, Screen};
use crate::remote::{ApiPath, Remote};
use clap::Args;
use serde_json::Value;
use std::io::IsTerminal;
use std::time::Duration;
use tokio::time::Instant;

/// Shortest and longest time between two looks; it grows while nothing happens.
const LOOK: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// How often a screen counts its seconds on.
const TICK: Duration = Duration::from_millis(200);
/// A look without an answer is given up then.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// A center that is away is asked again for so long: one that is updated is back by then, and the operation with it.
const AWAY: Duration = Duration::from_secs(120);

/// Whether to stay until what was begun is over.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct FollowArgs {
    /// Wait until it is over; the exit code tells how it ended
    #[arg(long)]
    wait: bool,
    /// Wait until it is over and show each step
    #[arg(long)]
    watch: bool,
    /// Wait, but not longer than this, e.g. 10m; what was begun goes on
    #[arg(long, value_parser = limit)]
    timeout: Option<Duration>,
}

/// A time limit as it is written on the command line.
fn limit(text: &str) -> Result<Duration, String> {
    Duration::try_from(crate::text::duration(text)?).map_err(|_| format!("{text:?} is negative"))
}

/// How much is shown meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Changes,
    Screen,
}

impl FollowArgs {
    /// To its end, each step shown: what `operation watch` does.
    pub(crate) fn watching(timeout: Option<Duration>) -> Self {
        Self { wait: false, watch: true, timeout }
    }

    /// To its end: what `operation wait` does.
    pub(crate) fn waiting(timeout: Option<Duration>) -> Self {
        Self { wait: true, watch: false, timeout }
    }

    /// Whether to stay at all.
    pub(crate) fn wanted(&self) -> bool {
        self.wait || self.watch || self.timeout.is_some()
    }

    fn shown(&self, terminal: bool, quiet: bool) -> Shown {
        match (self.watch, terminal) {
            (true, true) => Shown::Screen,
            (true, false) => Shown::Changes,
            (false, true) if !quiet => Shown::Screen,
            (false, _) => Shown::Nothing,
        }
    }
}

/// Only a time limit, for the commands that wait anyway.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct TimeoutArgs {
    /// Stop waiting after this time, e.g. 10m; the operation goes on
    #[arg(long, value_parser = limit)]
    pub(crate) timeout: Option<Duration>,
}

/// Begins with a request and stays until its operation is over, if that is wished.
pub(crate) async fn begin(
    ctx: &Context,
    remote: &Remote,
    path: ApiPath,
    body: Option<&Value>,
    args: &FollowArgs,
) -> Result {
    if !args.wanted() {
        let reply = remote.post(&path, body).await?;
        hint(ctx, reply.operation.as_deref());
        return Ok(());
    }
    // Not held up until the machine has answered: that is a step to be seen, too.
    let reply = remote.post(&path.query("wait", "false"), body).await?;
    let id = reply.operation.ok_or_else(|| {
        Error::Failed("it was begun, but the center does not say as which operation, so it cannot be waited for".into())
    })?;
    follow(ctx, remote, &id, args).await
}

/// Says how to follow what the machine has only taken so far.
pub(crate) fn hint(ctx: &Context, operation: Option<&str>) {
    if let Some(id) = operation
        && !ctx.official
        && !ctx.quiet
        && std::io::stderr().is_terminal()
    {
        eprintln!("It goes on as operation {id}; follow it with: {} operation watch {id}", ctx.program());
    }
}

/// Stays until an operation is over.
pub(crate) async fn follow(ctx: &Context, remote: &Remote, id: &str, args: &FollowArgs) -> Result {
    let shown = args.shown(std::io::stdout().is_terminal(), ctx.quiet);
    let again = format!("look again with: {} operation watch {id}", ctx.program());
    let late = async {
        match args.timeout {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        ended = watch(ctx, remote, id, shown) => ended?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.map_err(Error::io("cannot listen for Ctrl-C"))?;
            return Err(Error::Detached(format!("Not watching any more; operation {id} goes on, {again}")));
        }
        () = late => {
            return Err(Error::TimedOut(format!("Operation {id} is not over yet and goes on; {again}")));
        }
    };
    match progress::ending(&ended) {
        Some(Ending::Failed(cause)) => {
            let again = format!("try again with: {} operation retry {id}", ctx.program());
            Err(Error::Failed(format!("Operation {id} ({}) {cause}; {again}", progress::name(&ended))))
        }
        _ => Ok(()),
    }
}

/// Looks until it is over, and shows what there is to see; the operation at its end.
async fn watch(ctx: &Context, remote: &Remote, id: &str, shown: Shown) -> Result<Value> {
    let screen = (shown == Shown::Screen).then(Screen::new);
    let (mut before, mut pause, mut away) = (Value::Null, LOOK.0, None::<Instant>);
    loop {
        let now = match look(remote, id).await {
            Ok(now) => now,
            Err(Error::Unreachable { address, cause }) if !before.is_null() => {
                if away.is_none() {
                    let text = format!("{address} does not answer ({cause}); asking again");
                    match &screen {
                        Some(screen) => screen.say(&text),
                        None => eprintln!("{text}"),
                    }
                }
                if away.get_or_insert_with(Instant::now).elapsed() > AWAY {
                    return Err(Error::Unreachable { address, cause });
                }
                tokio::time::sleep(LOOK.1).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        away = None;
        if shown == Shown::Changes {
            ctx.print(&progress::changes(&before, &now));
        }
        if let Some(screen) = &screen {
            screen.draw(&progress::lines(&now, crate::clock::now()));
        }
        if progress::ending(&now).is_some() {
            return Ok(now);
        }
        pause = if now == before { LOOK.1.min(pause * 2) } else { LOOK.0 };
        let next = Instant::now() + pause;
        while let Some(screen) = &screen
            && Instant::now() + TICK < next
        {
            tokio::time::sleep(TICK).await;
            screen.draw(&progress::lines(&now, crate::clock::now()));
        }
        tokio::time::sleep_until(next).await;
        before = now;
    }
}

async fn look(remote: &Remote, id: &str) -> Result<Value> {
    let path = ApiPath::of(&["operations", id]);
    let unheard = |_| Error::Unreachable { address: remote.address().to_owned(), cause: "no answer in time".into() };
    tokio::time::timeout(ANSWER_WITHIN, remote.get(&path)).await.map_err(unheard)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_depends_on_wish_and_terminal() {
        let (watch, wait) = (FollowArgs::watching(None), FollowArgs::waiting(None));
        assert_eq!(watch.shown(true, true), Shown::Screen);
        assert_eq!(watch.shown(false, false), Shown::Changes);
        assert_eq!(wait.shown(true, false), Shown::Screen);
        assert_eq!(wait.shown(true, true), Shown::Nothing);
        assert_eq!(wait.shown(false, false), Shown::Nothing);
    }

    #[test]
    fn a_time_limit_means_to_wait() {
        assert!(!FollowArgs::default().wanted());
        assert!(FollowArgs { timeout: Some(Duration::from_secs(1)), ..FollowArgs::default() }.wanted());
        assert!(limit("-1h").is_err());
        assert_eq!(limit("10m").unwrap(), Duration::from_secs(600));
    }
}
