//! The commands, one module a group. Each runs with a [`Context`] and prints its result.

pub(crate) mod admin;
pub(crate) mod audit;
mod audit_check;
pub(crate) mod channel;
pub(crate) mod completion;
pub(crate) mod events;
pub(crate) mod machine;
pub(crate) mod operation;
pub(crate) mod os;
pub(crate) mod query;
pub(crate) mod rekey;
pub(crate) mod remote;
pub(crate) mod report;
pub(crate) mod seed;
pub(crate) mod server;
pub(crate) mod server_system;
pub(crate) mod server_text;
pub(crate) mod server_type;
pub(crate) mod subscription;
pub(crate) mod system;
pub(crate) mod token;
pub(crate) mod update;
pub(crate) mod update_add;
pub(crate) mod update_export;
pub(crate) mod warning;

use crate::args::{Provisioning, Top};
use crate::context::Context;
use crate::error::Result;
use serde_json::Value;

/// Runs a command.
pub(crate) async fn run(ctx: &Context, command: Top) -> Result {
    match command {
        Top::Admin(command) => admin::run(ctx, command).await,
        Top::Provisioning(Provisioning::Channel(command)) | Top::Channel(command) => channel::run(ctx, command).await,
        Top::Provisioning(Provisioning::Server(command)) | Top::Server(command) => server::run(ctx, command).await,
        Top::Provisioning(Provisioning::Token(command)) | Top::Token(command) => token::run(ctx, command).await,
        Top::Provisioning(Provisioning::Update(command)) | Top::Update(command) => update::run(ctx, command).await,
        Top::Query(command) => query::run(ctx, command).await,
        Top::Remote(command) => remote::run(ctx, command).await,
        Top::Subscription(command) => subscription::run(ctx, command).await,
        Top::System(command) => system::run(ctx, command).await,
        Top::Warning(command) => warning::run(ctx, command).await,
        Top::Operation(command) => operation::run(ctx, command).await,
        Top::Machine(command) => machine::run(ctx, command).await,
        Top::ServerType(command) => server_type::run(ctx, command).await,
        Top::Events(command) => events::run(ctx, command).await,
        Top::Audit(command) => audit::run(ctx, command).await,
        Top::Report(command) => report::run(ctx, command).await,
        Top::Completion(command) => completion::run(ctx, &command),
    }
}

/// The objects of a list answer.
pub(crate) fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// `Label: value` lines.
pub(crate) fn labelled(lines: &[(&str, String)]) -> String {
    lines.iter().map(|(label, value)| format!("{label}: {value}\n")).collect()
}
