//! The tree of commands made of the table, and what was given on the command line.

use super::verbs::{Data, Does, GROUPS, Run, Transfer, VERBS, Verb};
use crate::names;
use crate::output::{ListFormat, ShowFormat};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, Subcommand, ValueHint};
use clap_complete::engine::ArgValueCandidates;

/// A command on a system: of a server behind the center, or the center's own.
#[derive(Debug, Clone)]
pub(crate) struct Os<const SERVER: bool> {
    pub(super) verb: &'static Verb,
    pub(super) given: Given,
}

/// What was given with a command.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    /// The server; none for the center's own system.
    pub(super) server: Option<String>,
    /// The application or service.
    pub(super) name: Option<String>,
    /// File to read or write.
    pub(super) file: Option<String>,
    /// Body of the call, as JSON.
    pub(super) data: Option<String>,
    /// Not to be asked.
    pub(super) force: bool,
    /// What a restoration leaves out.
    pub(super) skip: Option<String>,
    /// What to show of the log.
    pub(super) log: Vec<(&'static str, String)>,
    /// Format of a document.
    pub(super) show: ShowFormat,
    /// Format of a list.
    pub(super) list: OsListFormat,
}

/// Format of a list: the usual ones and one more.
#[derive(Debug, Clone, Copy)]
pub(super) enum OsListFormat {
    /// As of any list.
    Usual(ListFormat),
    /// A table in Markdown.
    Markdown {
        /// With its titles.
        header: bool,
    },
}

impl Default for OsListFormat {
    fn default() -> Self {
        Self::Usual(ListFormat::default())
    }
}

/// Flags of `debug log`.
const LOG: [(&str, char, &str); 5] = [
    ("unit", 'u', "Only this unit"),
    ("boot", 'b', "Of this boot: 0 the running one, -1 the one before"),
    ("entries", 'n', "Only the newest so many"),
    ("since", 'S', "Not before this time"),
    ("until", 'U', "Not after this time"),
];

fn text(name: &'static str, about: &'static str) -> Arg {
    Arg::new(name).long(name).help(about).action(ArgAction::Set)
}

/// The command of a verb.
fn leaf(verb: &Verb, server: bool) -> Command {
    let name = verb.path.last().copied().unwrap_or_default();
    let mut command = Command::new(name).about(verb.about);
    let target = match (server, verb.of) {
        (true, Some(of)) => {
            Some(format!("Server and {of}, as in m1:{}", if of == "service" { "ovn" } else { "incus" }))
        }
        (true, None) => Some("Server, as in m1:".to_owned()),
        (false, Some(of)) => Some(format!("Name of the {of}")),
        (false, None) => None,
    };
    if let Some(help) = target {
        let mut target = Arg::new("target").required(true).help(help);
        if server {
            target = target.add(ArgValueCandidates::new(names::server_remotes));
        }
        command = command.arg(target);
    }
    let data = || text("data", "Body of the call, as JSON").short('d');
    match &verb.does {
        Does::Show => {
            let format = text("format", "Format (json|yaml)").short('f').default_value("yaml").hide_default_value(true);
            let format = format.value_parser(str::parse::<ShowFormat>);
            command.arg(format.add(ArgValueCandidates::new(names::show_formats)))
        }
        Does::List => {
            let about = "Format (csv|json|table|yaml|compact|markdown), use suffix \",noheader\" to disable headers and \",header\" to enable it if missing, e.g. csv,header";
            let format = text("format", about).short('f').default_value("table").hide_default_value(true);
            let format = format.value_parser(str::parse::<OsListFormat>);
            command.visible_alias("ls").arg(format.add(ArgValueCandidates::new(names::list_formats)))
        }
        Does::Log => command.args(LOG.map(|(long, short, about)| text(long, about).short(short))),
        Does::Add => command.arg(data()),
        Does::Run(Run { data: wanted, asks, file, skips, .. }) => {
            if *file != Transfer::None {
                let about = if *file == Transfer::To {
                    "File to write, - for standard output"
                } else {
                    "File to read, - for standard input"
                };
                command = command.arg(Arg::new("file").required(true).help(about).value_hint(ValueHint::FilePath));
            }
            if *wanted != Data::None {
                command = command.arg(data());
            }
            if *skips {
                command = command.arg(text("skip", "Parts to leave out, separated by commas").short('s'));
            }
            if asks.is_some() {
                let force = Arg::new("force").long("force").visible_alias("yes").action(ArgAction::SetTrue);
                command = command.arg(force.help("Do not ask: for scripts"));
            }
            command
        }
        Does::Edit | Does::Info(_) | Does::Overview | Does::Text => command,
    }
}

/// The commands below a group.
fn below(command: Command, group: &[&str], server: bool) -> Command {
    let mut command = command.subcommand_required(true).arg_required_else_help(true);
    for (path, about) in GROUPS {
        if path.len() == group.len() + 1 && path.starts_with(group) {
            let name = path.last().copied().unwrap_or_default();
            command = command.subcommand(below(Command::new(name).about(*about), path, server));
        }
    }
    for verb in VERBS.iter().filter(|verb| verb.path.len() == group.len() + 1 && verb.path.starts_with(group)) {
        command = command.subcommand(leaf(verb, server));
    }
    command
}

impl<const SERVER: bool> Subcommand for Os<SERVER> {
    fn augment_subcommands(command: Command) -> Command {
        below(command, &[], SERVER)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        below(command, &[], SERVER)
    }

    fn has_subcommand(name: &str) -> bool {
        VERBS.iter().any(|verb| verb.path.first() == Some(&name))
    }
}

impl<const SERVER: bool> FromArgMatches for Os<SERVER> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let (mut path, mut at) = (Vec::new(), matches);
        while let Some((name, deeper)) = at.subcommand() {
            path.push(name);
            at = deeper;
        }
        let verb = VERBS.iter().find(|verb| verb.path == path);
        let verb = verb.ok_or_else(|| clap::Error::raw(ErrorKind::MissingSubcommand, "no command was given\n"))?;
        Ok(Self { verb, given: given(at, verb, SERVER)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn given(matches: &ArgMatches, verb: &Verb, server: bool) -> Result<Given, clap::Error> {
    // A command that does not have an argument has no value of it either.
    let text = |name: &str| matches.try_get_one::<String>(name).ok().flatten().cloned();
    let mut given = Given { file: text("file"), data: text("data"), skip: text("skip"), ..Given::default() };
    given.force = matches.try_get_one::<bool>("force").ok().flatten().copied().unwrap_or_default();
    given.show = matches.try_get_one("format").ok().flatten().copied().unwrap_or_default();
    given.list = matches.try_get_one("format").ok().flatten().copied().unwrap_or_default();
    if matches!(verb.does, Does::Log) {
        given.log = LOG.iter().filter_map(|(name, ..)| Some((*name, text(name)?))).collect();
    }
    let target = text("target").unwrap_or_default();
    let (machine, name) = match (server, target.split_once(':')) {
        (true, Some((machine, name))) => (machine, name),
        // Without a colon it can only be the server.
        (true, None) => (target.as_str(), ""),
        (false, _) => ("", target.as_str()),
    };
    let refused = |text: String| Err(clap::Error::raw(ErrorKind::ValueValidation, text));
    match verb.of {
        _ if server && machine.is_empty() => return refused(format!("{target:?} names no server: write it as m1:\n")),
        // What is added may be named in its document.
        Some(_) if matches!(verb.does, Does::Add) && given.data.is_some() => {}
        Some(of) if name.is_empty() => {
            return refused(format!("{target:?} names no {of}: write it behind the colon, as in m1:incus\n"));
        }
        None if !name.is_empty() => return refused(format!("{name:?} means nothing here: only the server is named\n")),
        _ => {}
    }
    let set = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    (given.server, given.name) = (set(machine), set(name));
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Probe<const SERVER: bool> {
        #[command(subcommand)]
        os: Os<SERVER>,
    }

    fn parse<const SERVER: bool>(line: &str) -> Result<Os<SERVER>, clap::Error> {
        let words = std::iter::once("x").chain(line.split_whitespace());
        Probe::<SERVER>::try_parse_from(words).map(|probe| probe.os)
    }

    #[test]
    fn both_trees_are_sound_and_every_group_has_commands() {
        <Probe<true> as clap::CommandFactory>::command().debug_assert();
        <Probe<false> as clap::CommandFactory>::command().debug_assert();
        for verb in VERBS {
            for depth in 1..verb.path.len() {
                assert!(GROUPS.iter().any(|(path, _)| *path == &verb.path[..depth]), "{:?}", verb.path);
            }
        }
        for (path, _) in GROUPS {
            assert!(VERBS.iter().any(|verb| verb.path.starts_with(path)), "{path:?}");
        }
    }

    #[test]
    fn server_and_name_are_told_apart() {
        let os = parse::<true>("application show m1:incus -f json").unwrap();
        assert_eq!((os.given.server.as_deref(), os.given.name.as_deref()), (Some("m1"), Some("incus")));
        assert_eq!(os.given.show, ShowFormat::Json);
        for line in ["show m1:", "show m1"] {
            let os = parse::<true>(line).unwrap();
            assert_eq!((os.given.server.as_deref(), os.given.name), (Some("m1"), None), "{line}");
        }
        let os = parse::<false>("application show incus").unwrap();
        assert_eq!((os.given.server, os.given.name.as_deref()), (None, Some("incus")));
        for bad in ["show", "show :", "show m1:x", "application show m1:", "application show m1", "system nothing m1:"]
        {
            assert!(parse::<true>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn flags_of_every_kind() {
        let os = parse::<true>("debug log m1: -u incus.service -n 5").unwrap();
        assert_eq!(os.given.log, [("unit", "incus.service".to_owned()), ("entries", "5".to_owned())]);
        let os = parse::<true>("system restore m1: backup.tar -s network --force").unwrap();
        assert_eq!(
            (os.given.file.as_deref(), os.given.skip.as_deref(), os.given.force),
            (Some("backup.tar"), Some("network"), true)
        );
        assert!(parse::<true>("application ls m1: -f markdown").is_ok());
        assert!(parse::<true>("application list m1: -f xml").is_err());
        assert!(parse::<true>("system reboot m1: --yes").unwrap().given.force);
    }
}
