//! `cargo xtask golden`: does the daemon answer as the recorded exchanges say?
//!
//! The recordings and their runner are not part of this repository: `MUSTER_GOLDEN` names their folder, or they lie
//! in `../shared/golden`. The runner asks for a fresh daemon for each scenario, which `up` and `down` here provide,
//! and prints what differs; we subtract the steps where we differ on purpose, each named with its reason.

use std::fs::DirBuilder;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::testbed::{self, Bed};
use crate::{daemon, places, process};

/// The scenarios that pass, and that no change may break.
const SCENARIOS: [&str; 16] = [
    "tokens",
    "token_seeds",
    "root_and_auth",
    "channels",
    "registration",
    "self_update",
    "servers_list",
    "servers_lifecycle",
    "system_settings",
    "servers_actions",
    "os_proxy",
    "warnings_and_sql",
    "updates_upload",
    "updates_source",
    "incusos_images",
    "real_member",
];

/// Scenarios whose names begin so talk to a real Incus server.
const REAL: &str = "real_";

/// A step where our answer differs from the recorded one, on purpose, in these fields and nowhere else.
struct Named {
    scenario: &'static str,
    step: &'static str,
    fields: &'static [&'static str],
    reason: &'static str,
}

/// Any field may differ.
const WHOLE: &[&str] = &[""];

/// Recovery keys are readable at the peer.
const MASKED: &str = "recovery keys are masked; reading one is a call of its own";
const MASKED_FIELDS: &[&str] = &["body.metadata.os_data.security", "body.metadata.0.os_data.security"];

/// The peer answers some refusals as if it had failed itself.
const STATUS: &[&str] = &["status", "body.error_code"];
const SENDER: &str = "the sender's mistake: 400";

/// Updates that come from a signed source.
const SOURCE: &str = "updates_source";
/// Images have what the peer's lack, and lack what only a host with IncusOS has.
const IMAGE: &str = "it has a length and ranges; off IncusOS there are no authorities of the host to hand on";
const IMAGE_FIELDS: &[&str] = &[
    "fact.headers.Transfer-Encoding",
    "fact.headers.Content-Length",
    "fact.headers.Accept-Ranges",
    "fact.seed.security.yaml.custom_ca_certs",
];
const NO_HOST: &str = "the center runs off IncusOS here";

const NAMED: &[Named] = &[
    Named { scenario: "incusos_images", step: "prepared iso", fields: IMAGE_FIELDS, reason: IMAGE },
    Named { scenario: "incusos_images", step: "prepared raw", fields: IMAGE_FIELDS, reason: IMAGE },
    Named { scenario: "incusos_images", step: "defaults, gzip accepted", fields: IMAGE_FIELDS, reason: IMAGE },
    Named { scenario: "incusos_images", step: "public seed, anonymous, raw", fields: IMAGE_FIELDS, reason: IMAGE },
    Named { scenario: "incusos_images", step: "os", fields: WHOLE, reason: NO_HOST },
    Named { scenario: "incusos_images", step: "the center itself is a server", fields: WHOLE, reason: NO_HOST },
    Named { scenario: "incusos_images", step: "self register over the unix socket", fields: WHOLE, reason: NO_HOST },
    Named {
        scenario: "registration",
        step: "reboot of an unregistered server",
        fields: &["status", "body.error_code"],
        reason: "not registered yet: the caller's mistake, 400",
    },
    Named {
        scenario: "registration",
        step: "os of an unregistered server",
        fields: &["body"],
        reason: "the 502 says why",
    },
    Named {
        scenario: "root_and_auth",
        step: "no such path /1.0/events",
        fields: WHOLE,
        reason: "the event stream is ours",
    },
    Named {
        scenario: "root_and_auth",
        step: "no such path /1.0/operations",
        fields: WHOLE,
        reason: "operations are ours",
    },
    Named {
        scenario: "root_and_auth",
        step: "no such path /1.0/metrics",
        fields: WHOLE,
        reason: "the metrics are ours",
    },
    Named {
        scenario: "registration",
        step: "registered, the rest of the body is ignored",
        fields: MASKED_FIELDS,
        reason: MASKED,
    },
    Named {
        scenario: "registration",
        step: "known by its system uuid: name kept, url taken",
        fields: MASKED_FIELDS,
        reason: MASKED,
    },
    Named {
        scenario: "registration",
        step: "a migration manager, known by machine id only",
        fields: MASKED_FIELDS,
        reason: MASKED,
    },
    Named {
        scenario: "registration",
        step: "another operations center, found out by the poll",
        fields: MASKED_FIELDS,
        reason: MASKED,
    },
    Named {
        scenario: "registration",
        step: "no primary application that is a server type",
        fields: MASKED_FIELDS,
        reason: MASKED,
    },
    Named {
        scenario: "registration",
        step: "all servers at the end",
        fields: &["body.metadata"],
        reason: "a second pre-registered server exists here",
    },
    Named { scenario: "servers_lifecycle", step: "ready after the first poll", fields: MASKED_FIELDS, reason: MASKED },
    Named { scenario: "servers_lifecycle", step: "objects", fields: MASKED_FIELDS, reason: MASKED },
    Named { scenario: "servers_lifecycle", step: "changed", fields: MASKED_FIELDS, reason: MASKED },
    Named { scenario: "servers_lifecycle", step: "everything omitted is empty", fields: MASKED_FIELDS, reason: MASKED },
    Named { scenario: "servers_lifecycle", step: "channel of the server", fields: MASKED_FIELDS, reason: MASKED },
    Named { scenario: "servers_lifecycle", step: "new name", fields: MASKED_FIELDS, reason: MASKED },
    Named {
        scenario: "servers_list",
        step: "cluster and status without recursion",
        fields: &["headers"],
        reason: "answered here, and so without the error's headers",
    },
    Named {
        scenario: "system_settings",
        step: "certificate, empty object",
        fields: &["status", "body.error_code"],
        reason: "nothing was given, which is the caller's mistake: 400",
    },
    Named {
        scenario: "servers_actions",
        step: "factory-reset by GET",
        fields: &["headers.Allow"],
        reason: "DELETE is taken too, since the official command line sends it",
    },
    Named {
        scenario: "servers_actions",
        step: "os of an unresponsive server",
        fields: &["body"],
        reason: "the 502 says why",
    },
    Named { scenario: "real_member", step: "ready", fields: MASKED_FIELDS, reason: MASKED },
    Named { scenario: "updates_upload", step: "upload before our CA is trusted", fields: STATUS, reason: SENDER },
    Named { scenario: "updates_upload", step: "upload the same again", fields: STATUS, reason: SENDER },
    Named { scenario: "updates_upload", step: "upload, empty body", fields: STATUS, reason: SENDER },
    Named { scenario: "updates_upload", step: "upload, no tar", fields: STATUS, reason: SENDER },
    Named { scenario: "updates_upload", step: "upload, no update.sjson", fields: STATUS, reason: SENDER },
    Named { scenario: "updates_upload", step: "upload, unsigned", fields: STATUS, reason: SENDER },
    Named { scenario: "updates_upload", step: "upload, signed by another CA", fields: STATUS, reason: SENDER },
    Named { scenario: "updates_upload", step: "upload, signed, no JSON", fields: STATUS, reason: SENDER },
    Named { scenario: "updates_upload", step: "upload, damaged file", fields: STATUS, reason: SENDER },
    Named { scenario: "updates_upload", step: "upload, cut off", fields: STATUS, reason: SENDER },
    Named {
        scenario: "updates_upload",
        step: "upload, good, after it was refused for its severity: accepted as",
        fields: WHOLE,
        reason: "a refused upload leaves nothing behind, so the good one is taken",
    },
    Named {
        scenario: "updates_upload",
        step: "no range, no second compression",
        fields: WHOLE,
        reason: "a range is answered, so that a download can be taken up again",
    },
    Named {
        scenario: "updates_upload",
        step: "changelog of the channel",
        fields: &["body.metadata.0.channel"],
        reason: "the channel is named",
    },
    Named {
        scenario: "warnings_and_sql",
        step: "channel mismatch",
        fields: &["body.metadata.0.count"],
        reason: "the first poll's warning is not lost here",
    },
    Named { scenario: "warnings_and_sql", step: "two warnings", fields: &["body.metadata"], reason: "the same" },
    Named { scenario: SOURCE, step: "source without anything published", fields: STATUS, reason: SENDER },
    Named { scenario: SOURCE, step: "source signed by somebody else than configured", fields: STATUS, reason: SENDER },
    Named { scenario: SOURCE, step: "settings, source away", fields: STATUS, reason: SENDER },
    Named { scenario: SOURCE, step: "settings, source of another path", fields: STATUS, reason: SENDER },
    Named {
        scenario: SOURCE,
        step: "settings, source empty",
        fields: WHOLE,
        reason: "a site without network needs no source; the peer cannot take one away",
    },
    Named {
        scenario: SOURCE,
        step: "warning about it",
        fields: &["body.metadata"],
        reason: "a refresh that fails warns whoever started it; reading a server counts no warning",
    },
    Named {
        scenario: SOURCE,
        step: "refresh of a severity unknown",
        fields: STATUS,
        reason: "the source's mistake, not the sender's: 500 as for every other one",
    },
];

/// What the folders of all scenarios of one run lie in.
const RUN: &str = "MUSTER_GOLDEN_RUN";

/// The file in a daemon's folder that holds its process id.
const PID: &str = "musterd.pid";

/// What the runner said, so far.
#[derive(Debug, Default)]
struct Tally {
    /// Differing steps since the last scenario's end, each with the fields that differ.
    open: Vec<(String, Vec<String>)>,
    /// Scenarios that came to their end.
    ended: Vec<String>,
    same: usize,
    different: usize,
    free: usize,
    skipped: usize,
    /// Indices of `NAMED` that differed.
    named: Vec<usize>,
    /// Scenarios that this machine cannot run; each counts as a skipped step, too.
    left_out: usize,
}

impl Tally {
    /// Takes a line of the runner: `  DIFFERENT: step   [who method path]`, or a scenario's end
    /// `name: N same, N different, N free`, or the closing line, which has no name and is left alone.
    fn add(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("  DIFFERENT: ") {
            let step = rest.rsplit_once("   [").map_or(rest, |(step, _)| step);
            self.open.push((step.to_owned(), Vec::new()));
            return;
        }
        if let (Some(rest), Some((_, fields))) = (line.strip_prefix("      ! "), self.open.last_mut()) {
            fields.push(rest.split_once(": ").map_or(rest, |(field, _)| field).to_owned());
            return;
        }
        let Some((scenario, counts)) = line.split_once(": ").filter(|_| !line.starts_with(' ')) else { return };
        let Some([same, different, free, skipped]) = counts_of(counts) else { return };
        self.same += same;
        self.free += free;
        self.skipped += skipped;
        self.different += different;
        for (step, fields) in self.open.drain(..) {
            let allowed = |n: &Named| fields.iter().all(|f| n.fields.iter().any(|a| f.starts_with(a)));
            if let Some(i) = NAMED.iter().position(|n| n.scenario == scenario && n.step == step && allowed(n)) {
                self.named.push(i);
                self.different -= 1;
            }
        }
        self.ended.push(scenario.to_owned());
    }

    /// Named steps of scenarios that ran, and that do not differ any more: the list must not grow old.
    fn stale(&self) -> Vec<usize> {
        let ran = |n: &Named| self.ended.iter().any(|s| s == n.scenario);
        (0..NAMED.len()).filter(|i| ran(&NAMED[*i]) && !self.named.contains(i)).collect()
    }
}

/// `N same, N different, N free`, perhaps with `, N skipped`.
fn counts_of(text: &str) -> Option<[usize; 4]> {
    let mut counts = [0; 4];
    for part in text.split(", ") {
        let (n, word) = part.split_once(' ')?;
        let i = ["same", "different", "free", "skipped"].iter().position(|w| *w == word)?;
        counts[i] = n.parse().ok()?;
    }
    Some(counts)
}

/// The folder of the recordings, if there is one here.
fn folder() -> Option<PathBuf> {
    let given = std::env::var_os("MUSTER_GOLDEN").map(PathBuf::from);
    given.or_else(|| Some(places::workspace().join("../shared/golden"))).filter(|dir| dir.join("run").exists())
}

/// Checks scenarios, by default those of the list.
pub fn run(scenarios: &[String]) -> Result<ExitCode> {
    let folder = folder().context("no recorded exchanges here: MUSTER_GOLDEN must name their folder")?;
    let scenarios: Vec<&str> =
        if scenarios.is_empty() { SCENARIOS.to_vec() } else { scenarios.iter().map(String::as_str).collect() };
    let own = std::env::current_exe()?;
    places::build()?;

    // From here on a Ctrl-C ends the runner, which is in our process group, and lets us clear up.
    let interrupt = process::Interrupt::listen()?;
    let base = new_folder("muster-golden-run")?;
    let mut tally = Tally::default();
    let told = check_all(&folder, &scenarios, &own, &base, &mut tally);
    let cleared = clear(&base);
    let ended_well = told?;
    cleared?;
    if interrupt.asked() {
        bail!("interrupted");
    }

    for i in &tally.named {
        let Named { scenario, step, reason, .. } = &NAMED[*i];
        println!("named: {scenario}: {step} ({reason})");
    }
    let stale = tally.stale();
    for i in &stale {
        println!("{}: {} does not differ any more: take it off the list", NAMED[*i].scenario, NAMED[*i].step);
    }
    let complete = tally.ended.len() + tally.left_out == scenarios.len() && tally.open.is_empty();
    if !complete {
        println!("the runner ended early: {} of {} scenarios ended", tally.ended.len(), scenarios.len());
    } else if !ended_well && tally.different == 0 && tally.named.is_empty() {
        println!("the runner failed without a difference");
    }
    let Tally { same, different, free, skipped, named, .. } = &tally;
    let skips = if *skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
    println!("{same} same, {different} different, {free} free, {} named{skips}", named.len());

    let skips_count = *skipped > 0 && places::in_ci();
    let explained = ended_well || !named.is_empty();
    let good = complete && explained && *different == 0 && stale.is_empty() && !skips_count;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the runner for all scenarios, for some of them in the network of a real Incus server; returns whether it was
/// content.
fn check_all(folder: &Path, scenarios: &[&str], own: &Path, base: &Path, tally: &mut Tally) -> Result<bool> {
    let (real, plain): (Vec<&str>, Vec<&str>) = scenarios.iter().partition(|name| name.starts_with(REAL));
    let mut content = true;
    if !plain.is_empty() {
        content &= check(Command::new("python3"), folder, &plain, own, base, tally)?;
    }
    if real.is_empty() {
        return Ok(content);
    }
    if let Some(reason) = testbed::install()? {
        println!("skipped: {}: {reason}", real.join(", "));
        tally.left_out += real.len();
        tally.skipped += real.len();
        return Ok(content);
    }
    let bed = Bed::up(1)?;
    let mut runner = bed.inside("python3");
    runner.env("GOLDEN_BED", bed.status()?);
    Ok(content & check(runner, folder, &real, own, base, tally)?)
}

/// Runs the runner, which `runner` begins to call; returns whether it was content.
fn check(
    mut runner: Command,
    folder: &Path,
    scenarios: &[&str],
    own: &Path,
    base: &Path,
    tally: &mut Tally,
) -> Result<bool> {
    runner.arg(folder.join("run")).args(scenarios).arg("--check").env("PYTHONUNBUFFERED", "1");
    // Steps that need a host with IncusOS are named; the images are made off it, too.
    runner.env("GOLDEN_INCUSOS", "yes");
    // The runner gives both to a shell.
    let own = own.display();
    runner.env("TARGET_UP", format!("'{own}' golden-up")).env("TARGET_DOWN", format!("'{own}' golden-down"));
    for given in ["TARGET_URL", "TARGET_SOCKET", "TARGET_CERT", "TARGET_KEY"] {
        runner.env_remove(given);
    }
    let mut child = runner.env(RUN, base).stdout(Stdio::piped()).spawn().context("cannot run python3")?;
    for line in BufReader::new(child.stdout.take().context("the runner has no output")?).lines() {
        let line = line?;
        println!("{line}");
        tally.add(&line);
    }
    Ok(child.wait()?.success())
}

/// `golden-up`: a fresh daemon, and on standard output how to reach it.
pub fn up() -> Result<ExitCode> {
    let dir = new_folder("musterd")?;
    let target = start(&dir);
    match &target {
        Ok(lines) => print!("{lines}"),
        Err(_) => remove(&dir)?,
    }
    target.map(|_| ExitCode::SUCCESS)
}

/// Starts and opens a daemon, and leaves it running; returns what `up` prints.
fn start(dir: &Path) -> Result<String> {
    let child = daemon::start(dir, false)?;
    std::fs::write(dir.join(PID), child.id().to_string())?;
    let access =
        daemon::open(dir).with_context(|| format!("musterd's last lines:\n{}\n", process::tail(&daemon::log(dir))))?;
    Ok(format!(
        "TARGET_URL={}\nTARGET_SOCKET={}\nTARGET_CERT={}\nTARGET_KEY={}\nMUSTER_PID={}\nMUSTER_DIR={}\n",
        access.url,
        daemon::socket(dir).display(),
        access.certificate.display(),
        access.key.display(),
        child.id(),
        dir.display(),
    ))
}

/// `golden-down`: ends the daemon that `up` started and removes its folder.
pub fn down() -> Result<ExitCode> {
    let dir = PathBuf::from(std::env::var_os("MUSTER_DIR").context("MUSTER_DIR is not set")?);
    let pid = std::env::var("MUSTER_PID").context("MUSTER_PID is not set")?;
    let kept = std::fs::read_to_string(dir.join(PID)).unwrap_or_default();
    if kept != pid {
        bail!("{} is not the folder of the daemon {pid}: nothing is removed", dir.display());
    }
    remove(&dir)?;
    Ok(ExitCode::SUCCESS)
}

/// Ends the daemon of a folder that `up` made, if it still runs, and removes the folder.
fn remove(dir: &Path) -> Result<()> {
    if let Ok(pid) = std::fs::read_to_string(dir.join(PID)) {
        process::stop(pid.trim().parse().context("no process id")?)?;
    }
    std::fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))
}

/// Ends and removes whatever an interrupted run left.
fn clear(base: &Path) -> Result<()> {
    for entry in std::fs::read_dir(base)?.flatten() {
        remove(&entry.path())?;
    }
    std::fs::remove_dir(base).with_context(|| format!("cannot remove {}", base.display()))
}

/// A new folder that only we can read, in that of the run or of the system; short, for the socket's sake.
fn new_folder(name: &str) -> Result<PathBuf> {
    let base = std::env::var_os(RUN).map_or_else(std::env::temp_dir, PathBuf::from);
    for n in 0..1000 {
        let dir = base.join(format!("{name}-{}-{n}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("cannot make {}", dir.display())),
        }
    }
    bail!("{} is full of folders of earlier runs", base.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(text: &str) -> Tally {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.add(line));
        tally
    }

    #[test]
    fn named_steps_are_subtracted_and_no_others() {
        let told = tally(
            "  DIFFERENT: no such path /1.0/events   [admin GET /1.0/events]\n      ! status: 404 recorded, 200 here\n\
             \x20 DIFFERENT: no such path /metrics   [admin GET /metrics]\n\
             root_and_auth: 90 same, 2 different, 3 free\ntokens: 80 same, 0 different, 0 free, 2 skipped\n\
             170 same, 2 different, 3 free, 2 skipped",
        );
        assert_eq!((told.same, told.different, told.free, told.skipped), (170, 1, 3, 2));
        assert_eq!(told.named.len(), 1);
        assert_eq!(told.ended, ["root_and_auth", "tokens"]);
        assert_eq!(told.stale().len(), 2, "two named steps of a scenario that ran did not differ");
    }

    #[test]
    fn a_named_step_that_differs_elsewhere_too_counts() {
        let step = "  DIFFERENT: new name   [admin GET /x]\n      ! body.metadata.os_data.security.state: x\n";
        assert_eq!(tally(&format!("{step}servers_lifecycle: 1 same, 1 different, 0 free")).different, 0);
        let more = format!(
            "{step}      ! body.metadata.name: recorded 'a', here 'b'\nservers_lifecycle: 1 same, 1 different, 0 free"
        );
        assert_eq!(tally(&more).different, 1);
    }

    #[test]
    fn a_name_counts_in_its_own_scenario_only() {
        let told = tally(
            "  DIFFERENT: no such path /1.0/events   [admin GET /1.0/events]\ntokens: 1 same, 1 different, 0 free",
        );
        assert_eq!((told.different, told.named.len(), told.stale().len()), (1, 0, 0));
    }

    #[test]
    fn a_runner_that_dies_leaves_its_steps_open() {
        let told =
            tally("tokens: 1 same, 0 different, 0 free\n  DIFFERENT: create   [admin POST /x]\n      ! status: 1");
        assert_eq!((told.ended.len(), told.open.len()), (1, 1));
    }
}
