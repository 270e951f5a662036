//! Being called as `operations-center`: its words and exit codes for what it cannot understand (cli.md 1, 4).

use crate::args::Cli;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};
use std::ffi::OsString;
use std::fmt::Write as _;

/// The name of the official command line.
pub(crate) const NAME: &str = "operations-center";

/// Whether the program was called by the official name.
pub(crate) fn is_official(program: Option<&OsString>) -> bool {
    program.is_some_and(|path| std::path::Path::new(path).file_name().is_some_and(|name| name == NAME))
}

/// Says why the arguments were not taken, or prints the help that was asked for; the exit code.
pub(crate) fn refuse(error: &clap::Error, args: &[OsString], official: bool) -> u8 {
    if error.kind() == ErrorKind::DisplayVersion {
        println!("{}", env!("CARGO_PKG_VERSION"));
        return 0;
    }
    if !official {
        let _closed = error.print();
        return if error.exit_code() == 0 { 0 } else { 2 };
    }
    let words: Vec<String> = args.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let answer = answer(error, &words);
    if let Some(help) = &answer.help {
        print!("{help}");
    }
    match answer.error {
        Some(text) => {
            eprintln!("{text}");
            1
        }
        None => 0,
    }
}

/// What the official command line says.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    help: Option<String>,
    error: Option<String>,
}

fn answer(error: &clap::Error, words: &[String]) -> Answer {
    let mut root = Cli::command();
    root.build();
    let place = Place::of(&root, words);
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let help = || Some(help(place.command, &place.path, !place.path.contains(' ')));
    let only = |text: String| Answer { help: None, error: Some(text) };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            Answer { help: help(), error: None }
        }
        ErrorKind::InvalidSubcommand => {
            only(format!("unknown command {:?} for {:?}", said(ContextKind::InvalidSubcommand), place.path))
        }
        ErrorKind::UnknownArgument => match said(ContextKind::InvalidArg) {
            flag if flag.starts_with("--") => only(format!("unknown flag: {flag}")),
            flag if flag.starts_with('-') => {
                only(format!("unknown shorthand flag: '{}' in {flag}", flag.trim_start_matches('-')))
            }
            _ if place.command.has_subcommands() => {
                only(format!("unknown command {:?} for {:?}", said(ContextKind::InvalidArg), place.path))
            }
            _ => Answer { help: help(), error: Some("Invalid number of arguments".into()) },
        },
        ErrorKind::MissingRequiredArgument | ErrorKind::TooFewValues | ErrorKind::TooManyValues => {
            let error = (place.arguments > 0).then(|| "Invalid number of arguments".to_owned());
            Answer { help: help(), error }
        }
        _ => {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or_default();
            only(first.trim_start_matches("error: ").to_owned())
        }
    }
}

/// Where in the tree a command line is, and how many plain arguments follow.
struct Place<'a> {
    command: &'a Command,
    path: String,
    arguments: usize,
}

impl<'a> Place<'a> {
    fn of(root: &'a Command, words: &[String]) -> Self {
        let mut place = Self { command: root, path: NAME.to_owned(), arguments: 0 };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word.starts_with('-') && word.len() > 1 {
                let takes = place.command.get_arguments().find(|arg| {
                    arg.get_long().is_some_and(|long| word.strip_prefix("--") == Some(long))
                        || arg.get_short().is_some_and(|short| *word == format!("-{short}"))
                });
                if takes.is_some_and(|arg| arg.get_action().takes_values()) {
                    words.next();
                }
            } else if let Some(deeper) = place.command.find_subcommand(word).filter(|_| place.arguments == 0) {
                place.command = deeper;
                let _infallible = write!(place.path, " {}", deeper.get_name());
            } else {
                place.arguments += 1;
            }
        }
        place
    }
}

/// Help in the layout of the official command line.
fn help(command: &Command, path: &str, root: bool) -> String {
    let mut out = String::new();
    if let Some(about) = command.get_about() {
        out += &format!("Description:\n  {about}.\n\n");
    }
    let positionals: String = command
        .get_positionals()
        .map(|arg| {
            let name = arg.get_id().as_str().replace('_', "-");
            if arg.is_required_set() { format!(" <{name}>") } else { format!(" [<{name}>]") }
        })
        .collect();
    out += &format!("Usage:\n  {path}{positionals} [flags]\n");
    let commands: Vec<&Command> = command.get_subcommands().filter(|sub| !sub.is_hide_set()).collect();
    if !commands.is_empty() {
        out += &format!("  {path} [command]\n\nAvailable Commands:\n");
        let about = |sub: &&Command| sub.get_about().map(ToString::to_string).unwrap_or_default();
        out += &columns(commands.iter().map(|sub| (sub.get_name().to_owned(), about(sub))).collect(), 1);
    }
    let (global, own): (Vec<_>, Vec<_>) = command
        .get_arguments()
        .filter(|arg| !arg.is_positional() && !arg.is_hide_set())
        .map(|arg| (flag(arg), arg.is_global_set() || arg.get_id() == "help"))
        .partition(|(_, global)| *global);
    let flags = |list: Vec<((String, String), bool)>| {
        let mut list: Vec<(String, String)> = list.into_iter().map(|(flag, _)| flag).collect();
        list.sort_by(|(a, _), (b, _)| a.trim_start_matches(long_only).cmp(b.trim_start_matches(long_only)));
        columns(list, 3)
    };
    if !own.is_empty() {
        out += &format!("\nFlags:\n{}", flags(own));
    }
    out + &format!("\n{}:\n{}", if root { "Flags" } else { "Global Flags" }, flags(global))
}

/// Whatever stands before the long name of a flag.
fn long_only(c: char) -> bool {
    c == ' ' || c == '-'
}

/// A flag with its kind of value, and what it means.
fn flag(arg: &clap::Arg) -> (String, String) {
    let short = arg.get_short().map_or_else(|| "    ".to_owned(), |c| format!("-{c}, "));
    let value = if arg.get_action().takes_values() { " string" } else { "" };
    let name = format!("{short}--{}{value}", arg.get_long().unwrap_or_default());
    (name, arg.get_help().map(ToString::to_string).unwrap_or_default())
}

fn columns(rows: Vec<(String, String)>, gap: usize) -> String {
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or_default() + gap;
    rows.into_iter().map(|(left, right)| format!("  {left:width$}{right}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> Answer {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let error = Cli::try_parse(&words);
        answer(&error, &words)
    }

    impl Cli {
        fn try_parse(words: &[String]) -> clap::Error {
            use clap::Parser;
            Self::try_parse_from(std::iter::once("x".to_owned()).chain(words.iter().cloned())).unwrap_err()
        }
    }

    #[test]
    fn unknown_words_and_counts_as_recorded() {
        let unknown = |text: &str| Answer { help: None, error: Some(text.into()) };
        assert_eq!(
            ask("provisioning nothing"),
            unknown("unknown command \"nothing\" for \"operations-center provisioning\"")
        );
        assert_eq!(ask("provisioning token list --nothing"), unknown("unknown flag: --nothing"));
        let too_few = ask("provisioning token show");
        assert_eq!(too_few.error, None);
        assert!(too_few.help.unwrap().contains("operations-center provisioning token show <uuid> [flags]"));
        assert_eq!(ask("provisioning token show a b").error.unwrap(), "Invalid number of arguments");
        assert_eq!(ask("provisioning server rename m1").error.unwrap(), "Invalid number of arguments");
        assert_eq!(ask("provisioning server rename -v").error, None);
        let group = ask("provisioning");
        assert!(group.error.is_none() && group.help.unwrap().contains("Available Commands:"));
    }

    #[test]
    fn help_as_recorded() {
        assert_eq!(
            ask("provisioning token show").help.unwrap(),
            "Description:\n  Show information about a token.\n\nUsage:\n  operations-center provisioning token show <uuid> [flags]\n\nFlags:\n  -f, --format string   Format (json|yaml)\n\nGlobal Flags:\n      --debug         Show all debug messages\n      --force-local   Force using the local unix socket\n  -h, --help          Print help\n  -q, --quiet         Don't show progress information\n  -v, --verbose       Show all information messages\n      --version       Print version number\n"
        );
    }

    #[test]
    fn the_name_decides() {
        let official = |path: &str| is_official(Some(&path.into()));
        assert!(official("/usr/bin/operations-center") && official("operations-center"));
        assert!(!official("muster") && !official("/operations-center/muster") && !is_official(None));
    }
}
