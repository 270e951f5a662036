//! The functions a program can call, and the errors they raise in it (servers.md 13).

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::Value;
use starlark::values::dict::DictRef;
use starlark::values::none::NoneType;
use starlark::values::tuple::UnpackTuple;
use url::Url;

use crate::session::{ask, change, log as log_line};
use crate::{HostCall, Level, convert};

/// Port of a machine's API where the URL names none.
const DEFAULT_PORT: u16 = 8443;

/// Why a function refused its arguments or failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FunctionError {
    #[error("This function can only be called while server_registration runs")]
    AtLoad,
    #[error("{0} must not be empty")]
    Empty(&'static str),
    #[error("{name} must be a plain name without {character:?}")]
    Character { name: &'static str, character: char },
    #[error("{name} must be {expected}, not a value of type {found:?}")]
    Type { name: &'static str, expected: &'static str, found: String },
    #[error("{name}: keys must be strings, not of type {found:?}")]
    Key { name: &'static str, found: String },
    #[error("{name}: a value of type {found:?} cannot be sent to the machine")]
    Unfit { name: &'static str, found: String },
    #[error("{0} is nested too deep")]
    TooDeep(&'static str),
    #[error("{0} is too large")]
    TooLarge(&'static str),
    #[error("server_connection_url {0:?} must be https://host or https://host:port")]
    Url(String),
    #[error("The machine's answer is not an object")]
    Answer,
    #[error("{0}")]
    Host(String),
}

impl From<FunctionError> for starlark::Error {
    fn from(error: FunctionError) -> Self {
        Self::new_native(error)
    }
}

/// Adds `log`, `server` and `incusos` to the names a program knows.
pub(crate) fn add(builder: &mut GlobalsBuilder) {
    builder.namespace("log", log);
    builder.namespace("server", server);
    builder.namespace("incusos", incusos);
}

#[starlark_module]
fn log(builder: &mut GlobalsBuilder) {
    fn info(#[starlark(args)] values: UnpackTuple<Value>) -> starlark::Result<NoneType> {
        write(Level::Info, &values.items)
    }

    fn warn(#[starlark(args)] values: UnpackTuple<Value>) -> starlark::Result<NoneType> {
        write(Level::Warn, &values.items)
    }

    fn error(#[starlark(args)] values: UnpackTuple<Value>) -> starlark::Result<NoneType> {
        write(Level::Error, &values.items)
    }
}

#[starlark_module]
fn server(builder: &mut GlobalsBuilder) {
    fn set_name(server_name: &str) -> starlark::Result<NoneType> {
        let name = filled("server_name", server_name)?;
        done(change(|changes| changes.name = Some(name)))
    }

    fn set_description(server_description: &str) -> starlark::Result<NoneType> {
        done(change(|changes| changes.description = Some(server_description.to_owned())))
    }

    fn set_properties(properties: Value) -> starlark::Result<NoneType> {
        let properties = string_map("properties", properties)?;
        done(change(|changes| changes.properties = Some(properties)))
    }

    fn set_connection_url(server_connection_url: &str, public: bool) -> starlark::Result<NoneType> {
        let url = reduced(server_connection_url)?;
        done(change(|changes| {
            let field = if public { &mut changes.public_connection_url } else { &mut changes.connection_url };
            *field = Some(url);
        }))
    }

    fn set_update_channel(server_update_channel: &str) -> starlark::Result<NoneType> {
        let channel = filled("server_update_channel", server_update_channel)?;
        done(change(|changes| changes.channel = Some(channel)))
    }
}

#[starlark_module]
fn incusos(builder: &mut GlobalsBuilder) {
    fn get_system<'v>(resource: &str, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<Value<'v>> {
        let resource = segment("resource", filled("resource", resource)?)?;
        object(HostCall::GetSystem { resource }, eval)
    }

    fn set_system(resource: &str, config: Value) -> starlark::Result<NoneType> {
        let resource = segment("resource", filled("resource", resource)?)?;
        let config = convert::document("config", config)?;
        done(ask(HostCall::SetSystem { resource, config }))
    }

    fn trigger_action(resource: &str, action: &str, body: Value) -> starlark::Result<NoneType> {
        let resource = segment("resource", resource.to_owned())?;
        let action = action.strip_prefix(':').unwrap_or(action);
        let action = segment("action", filled("action", action)?)?;
        let body = convert::document("body", body)?;
        done(ask(HostCall::TriggerAction { resource, action, body }))
    }

    fn get_service<'v>(service: &str, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<Value<'v>> {
        let service = segment("service", filled("service", service)?)?;
        object(HostCall::GetService { service }, eval)
    }

    fn set_service(service: &str, config: Value) -> starlark::Result<NoneType> {
        let service = segment("service", filled("service", service)?)?;
        let mut config = convert::document("config", config)?;
        if config.get("config").is_none() {
            config = json!({ "config": config });
        }
        done(ask(HostCall::SetService { service, config }))
    }

    fn add_application(application: &str) -> starlark::Result<NoneType> {
        let application = filled("application", application)?;
        done(ask(HostCall::AddApplication { application }))
    }
}

fn done<T>(result: Result<T, FunctionError>) -> starlark::Result<NoneType> {
    result.map(|_| NoneType).map_err(Into::into)
}

fn write(level: Level, values: &[Value]) -> starlark::Result<NoneType> {
    let text: String = values.iter().map(|value| value.to_str()).collect();
    done(log_line(level, &text))
}

fn object<'v>(call: HostCall, eval: &Evaluator<'v, '_, '_>) -> starlark::Result<Value<'v>> {
    match ask(call)? {
        answer @ Json::Object(_) => Ok(convert::plain(&answer, eval.heap())),
        _ => Err(FunctionError::Answer.into()),
    }
}

fn filled(name: &'static str, text: &str) -> Result<String, FunctionError> {
    if text.is_empty() { Err(FunctionError::Empty(name)) } else { Ok(text.to_owned()) }
}

/// A name that becomes one segment of a path. Beside the slash it must not hold anything that
/// would end the path, be escaped or climb out of it.
fn segment(name: &'static str, text: String) -> Result<String, FunctionError> {
    let unfit = |c: char| matches!(c, '/' | '\\' | '?' | '#' | '%') || c.is_whitespace() || c.is_control();
    let climbs = matches!(text.as_str(), "." | "..").then_some('.');
    match text.chars().find(|c| unfit(*c)).or(climbs) {
        Some(character) => Err(FunctionError::Character { name, character }),
        None => Ok(text),
    }
}

fn string_map(name: &'static str, value: Value) -> Result<BTreeMap<String, String>, FunctionError> {
    let unlike = |expected, value: Value| FunctionError::Type { name, expected, found: value.get_type().to_owned() };
    let dict = DictRef::from_value(value).ok_or_else(|| unlike("a dict", value))?;
    let text = |value: Value| {
        value.unpack_str().map(str::to_owned).ok_or_else(|| unlike("a dict of strings to strings", value))
    };
    dict.iter().map(|(key, value)| Ok((text(key)?, text(value)?))).collect()
}

/// `https://host:port` of a URL, with the machines' default port where it names none.
fn reduced(text: &str) -> Result<String, FunctionError> {
    let refused = || FunctionError::Url(text.to_owned());
    let url = Url::parse(text).map_err(|_| refused())?;
    let host = url.host_str().ok_or_else(refused)?;
    let (_, rest) = text.split_once("://").ok_or_else(refused)?;
    // The parser forgets an explicit 443 because it is the scheme's default: read the port here.
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let port = match authority.rsplit_once(':') {
        Some((_, digits)) if !digits.is_empty() && !digits.ends_with(']') => digits.parse().map_err(|_| refused())?,
        _ => DEFAULT_PORT,
    };
    if url.scheme() != "https" || port == 0 {
        return Err(refused());
    }
    Ok(format!("https://{host}:{port}"))
}
