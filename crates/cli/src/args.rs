//! The command tree (cli.md 6): top level and the flags that every command takes.

use crate::cmd::{
    admin::Admin, audit::Audit, channel::Channel, completion::Completion, events::Events, machine::Machine,
    operation::Operation, query::Query, remote::RemoteCommand, report::Report, server::Server, server_type::ServerType,
    subscription::Subscription, system::System, token::Token, update::Update, warning::Warning,
};
use crate::names;
use crate::output::{ListFormat, ShowFormat};
use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::engine::ArgValueCandidates;

/// The operations center: servers, tokens, channels and the center itself.
#[derive(Debug, Parser)]
#[command(
    name = "muster",
    version,
    propagate_version = true,
    disable_version_flag = true,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    infer_subcommands = false
)]
pub(crate) struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Top,
}

/// Flags of every command.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Global {
    /// Print version number
    #[arg(long, global = true, action = ArgAction::Version)]
    version: Option<bool>,
    /// Don't show progress information
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Show all debug messages
    #[arg(long, global = true)]
    pub(crate) debug: bool,
    /// Show all information messages
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Force using the local unix socket
    #[arg(long, global = true)]
    pub(crate) force_local: bool,
}

/// The top level.
#[derive(Debug, Subcommand)]
pub(crate) enum Top {
    /// Administer the center itself
    #[command(subcommand)]
    Admin(Admin),
    /// Provision servers
    #[command(subcommand)]
    Provisioning(Provisioning),
    /// Send a raw query to the API
    Query(Query),
    /// Manage the operations centers that this command line knows
    #[command(subcommand)]
    Remote(RemoteCommand),
    /// Configure the center itself
    #[command(subcommand)]
    System(System),
    /// Look at warnings
    #[command(subcommand)]
    Warning(Warning),
    /// Manage update channels (short for "provisioning channel")
    #[command(subcommand)]
    Channel(Channel),
    /// Manage servers (short for "provisioning server")
    #[command(subcommand)]
    Server(Server),
    /// Manage registration tokens (short for "provisioning token")
    #[command(subcommand)]
    Token(Token),
    /// Look at updates (short for "provisioning update")
    #[command(subcommand)]
    Update(Update),
    /// Look at work in progress, cancel and retry it
    #[command(subcommand)]
    Operation(Operation),
    /// Look at the physical machines and their life
    #[command(subcommand)]
    Machine(Machine),
    /// Look at the classes of hardware, name and merge them
    #[command(subcommand)]
    ServerType(ServerType),
    /// Keep machines for somebody, and see what came of it
    #[command(subcommand)]
    Subscription(Subscription),
    /// Follow what happens
    Events(Events),
    /// Look at who did what
    #[command(subcommand)]
    Audit(Audit),
    /// Reports over all machines
    #[command(subcommand)]
    Report(Report),
    /// Print a completion script for a shell
    Completion(Completion),
}

/// `provisioning`.
#[derive(Debug, Subcommand)]
pub(crate) enum Provisioning {
    /// Manage update channels
    #[command(subcommand)]
    Channel(Channel),
    /// Manage servers
    #[command(subcommand)]
    Server(Server),
    /// Manage registration tokens
    #[command(subcommand)]
    Token(Token),
    /// Look at updates
    #[command(subcommand)]
    Update(Update),
}

/// Format of a list.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ListArgs {
    /// Format (csv|json|table|yaml|compact), use suffix ",noheader" to disable headers and ",header" to enable it if missing, e.g. csv,header
    #[arg(short = 'f', long, default_value = "table", hide_default_value = true, add = ArgValueCandidates::new(names::list_formats))]
    pub(crate) format: ListFormat,
}

/// Format of one object.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ShowArgs {
    /// Format (json|yaml)
    #[arg(short = 'f', long, default_value = "", hide_default_value = true, add = ArgValueCandidates::new(names::show_formats))]
    pub(crate) format: ShowFormat,
}

/// Consent in advance.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct YesArgs {
    /// Do not ask: for scripts
    #[arg(long)]
    pub(crate) yes: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_official_command_in_scope_is_understood() {
        let lines = "\
            admin sql SELECT\n admin sql -f csv -\n admin sql .dump\n admin init\n\
            provisioning channel list -f csv,header\n provisioning channel ls\n provisioning channel show a -f json\n\
            provisioning channel add a --description d\n provisioning channel edit a\n provisioning channel remove a --yes\n\
            provisioning channel rm a\n provisioning channel changelog a --architecture aarch64 -f yaml\n\
            provisioning token add --uses 3 --lifetime 1h --description d --channel stable\n provisioning token list -f yaml\n\
            provisioning token show u\n provisioning token edit u\n provisioning token remove u\n\
            provisioning token seed list u -f csv\n provisioning token seed show u n\n provisioning token seed edit u n\n\
            provisioning token seed add u n f.yaml --public --description d\n provisioning token seed remove u n\n\
            provisioning server list --cluster c --status ready --filter true -f compact\n\
            provisioning server show m --properties --resources --os-data --version-data --bmc-data\n\
            provisioning server pre-register m --description d --channel c --public-connection-url u --bmc-api-type redfish-v1-generic --bmc-endpoint e --bmc-certificate-file f --bmc-username u --bmc-password p\n\
            provisioning server pre-register m --bmc-api-type x --bmc-auto-pin-certificate --bmc-password-file -\n\
            provisioning server edit m\n provisioning server rename m n\n provisioning server remove m\n\
            provisioning server resync m\n provisioning server changelog m\n\
            provisioning server system evacuate m --force\n provisioning server system restore m --force\n\
            provisioning server system reboot m --force\n provisioning server system poweroff m --force\n\
            provisioning server system update m --os --force\n provisioning server system factory-reset m\n\
            provisioning server system factory-reset m t s\n provisioning server system network show m\n\
            provisioning server system network edit m\n provisioning server system storage show m -f json\n\
            provisioning server system storage edit m\n\
            provisioning server system reboot m --wait --timeout 5m\n provisioning server system network edit m --watch\n\
            provisioning update list --upstream-channel a --channel b --origin o --status ready -f csv\n update ls\n\
            provisioning update show u\n provisioning update file list u\n provisioning update file show u x/y -f json\n\
            provisioning server os show m:\n server os info m:\n server os application add m:incus\n server os application add m: -d {}\n\
            server os application switch-version m:incus -d {} --force\n server os system storage wipe-drive m: -d {} --force\n\
            server os debug log m: -u x -b 0 -n 5 -S a -U b\n server os system backup m: -\n admin os show\n admin os service list\n\
            system certificate set c k\n system network show\n system network edit\n system security show -f json\n\
            system security edit\n system settings show\n system settings edit\n system updates show\n system updates edit\n\
            warning list\n warning show u\n warning acknowledge u\n warning ack u\n\
            query /1.0/provisioning/channels -X POST -d {}\n query x --request GET --data x\n\
            remote add n https://h --auth-type oidc --accept-certificate\n remote list -f json\n remote remove n\n remote switch n\n\
            server list --force-local -q -v --debug\n token seed ls u\n channel rm x\n server rm m --yes\n\
            operation list --target m --kind reboot --status failed --limit 3 -f yaml\n operation wait x --timeout 5m\n operation show x\n operation watch x --timeout 5m\n operation cancel x\n operation retry x --watch\n\
            subscription list --status active --holder a -f csv\n subscription ls\n subscription show s -f yaml\n\
            subscription create --holder a --type t --quantity 3 --site x --starts 2026-12-01 --ends 2027-01-01T00:00:00Z --cycle 1 --renew --description d\n\
            subscription create --holder a --machine m\n subscription edit s\n subscription edit s --quantity 2 --ends none --renew false\n\
            subscription stop s --yes\n subscription delete s --yes\n subscription rm s\n\
            events --follow\n audit list\n audit verify\n audit head\n report utilisation --by owner\n completion bash";
        for line in lines.lines() {
            let words = std::iter::once("muster").chain(line.split_whitespace());
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for line in [
            "provisioning nothing",
            "provisioning token show",
            "server show a b",
            "server list -f xml",
            "server pre-register m --bmc-certificate-file f --bmc-auto-pin-certificate",
            "server pre-register m --bmc-password p --bmc-password-file f",
            "token add --lifetime never",
            "remote add n u --auth-type basic",
            "channel rename a b",
            "subscription create --holder a",
            "subscription create --type t",
            "subscription create --holder a --type t --machine m",
            "subscription create --holder a --machine m --quantity 2",
            "subscription create --holder a --type t --renew",
            "subscription create --holder a --type t --starts soon",
        ] {
            let words = std::iter::once("muster").chain(line.split_whitespace());
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }
}
