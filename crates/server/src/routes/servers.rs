//! `/1.0/provisioning/servers`: list, registration, show, edit (`servers.md` 3).

use crate::{
    App,
    answer::{Created, Empty, Sync, Tagged, etag, if_match},
    body::{Lenient, lenient, read},
    caller::Caller,
    error::ApiError,
    listen::Peer,
    params::{Key, Listing, Page, Params, PathName, WHOLE, uuid},
};
use axum::{
    Extension,
    extract::{Request, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use muster_api::provisioning::{
    server::{Registration, Server, ServerPost, ServerPut, ServerRename, ServerSelfUpdate, VersionData},
    status::ServerStatus,
    update::Changelog,
};
use muster_engine::{
    Error, poll,
    services::{
        server::{self, Filter},
        update,
    },
};

const URL: &str = "/1.0/provisioning/servers";

const LIST: Listing = Listing { path: URL, key: Key::Name, limits: WHOLE };

fn tag(name: &str, generation: i64) -> String {
    etag("server", name, generation)
}

/// All servers, by name: URLs, or objects with `recursion=1`. `status` and `cluster` narrow the list, `limit` and `cursor`
/// (the last name seen) page it.
#[utoipa::path(get, path = "/1.0/provisioning/servers", tag = "servers",
    params(("recursion" = Option<i64>, Query), ("cluster" = Option<String>, Query), ("status" = Option<String>, Query),
           ("filter" = Option<String>, Query), ("limit" = Option<i64>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Vec<Server>), (status = 400)))]
pub async fn list(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    let text = |key: &str| Some(params.get(key).to_owned()).filter(|t| !t.is_empty());
    let status = match text("status") {
        None => None,
        Some(status) => Some(status.parse::<ServerStatus>().map_err(ApiError::bad_request)?),
    };
    let filter = Filter { cluster: text("cluster"), status };
    let Page { after, limit } = params.page(&LIST)?;
    let after = after.unwrap_or_default();
    let program = super::server_filter::compile(params.get("filter"), params.recursion())?;
    if !params.recursion() {
        let names = server::names(&app.engine, &filter).await?;
        let mut urls = Vec::new();
        for name in names.into_iter().filter(|n| *n > after) {
            let kept = match &program {
                None => true,
                Some(program) => program.matches_name(&name, app.engine.clock().now().0)?,
            };
            if kept && i64::try_from(urls.len()).unwrap_or(i64::MAX) < limit {
                urls.push(format!("{URL}/{name}"));
            }
        }
        return Ok(Sync(urls).into_response());
    }
    super::server_stream::objects(app, filter, program, after, limit).await
}

/// Registration by a machine (`token`), or pre-registration by an operator.
#[utoipa::path(post, path = "/1.0/provisioning/servers", tag = "servers", params(("token" = Option<String>, Query)),
    request_body = ServerPost, responses((status = 201, body = Registration), (status = 400), (status = 403)))]
pub async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    params: Params,
    request: Request,
) -> Result<Created<Registration>, ApiError> {
    let token = params.get("token");
    if token.is_empty() {
        if !caller.trusted() {
            return Err(ApiError::forbidden("Request is not authenticated: give a registration token, or log in"));
        }
        let post: ServerPost = lenient(&read(request).await?)?;
        let location = format!("{URL}/{}", post.name);
        let certificate = server::pre_register(&app.engine, &caller.actor(), post).await?;
        return Ok(Created(location, Registration { certificate }));
    }
    let token = uuid(token)?;
    let peer = request.extensions().get::<Peer>().cloned();
    let post: ServerPost = lenient(&read(request).await?)?;
    let Some(Peer::Tcp { leaf: Some(leaf), fingerprint: Some(fingerprint), .. }) = peer else {
        return Err(ApiError::bad_request("No client certificate provided"));
    };
    let location = format!("{URL}/{}", post.name);
    let certificate = muster_clients::tls::der_to_pem(&leaf);
    let certificate = server::register(&app.engine, token, post, certificate, fingerprint).await?;
    Ok(Created(location, Registration { certificate }))
}

/// A machine's report about itself, proven by its certificate.
#[utoipa::path(put, path = "/1.0/provisioning/servers/:self", tag = "servers", request_body = ServerSelfUpdate,
    responses((status = 200), (status = 400), (status = 403)))]
pub async fn self_update(State(app): State<App>, request: Request) -> Result<Empty, ApiError> {
    let fingerprint = match request.extensions().get::<Peer>() {
        // The center's own machine has nothing to tell that the center does not know.
        Some(Peer::Unix) => None,
        Some(Peer::Tcp { fingerprint: Some(fingerprint), .. }) => Some(fingerprint.clone()),
        _ => return Err(Error::NotAuthorized("No client certificate provided".into()).into()),
    };
    let report: ServerSelfUpdate = lenient(&read(request).await?)?;
    if let Some(fingerprint) = fingerprint {
        server::self_update(&app.engine, fingerprint, report).await?;
    }
    Ok(Empty)
}

/// The center's own machine registers; only over the unix socket, and only on IncusOS.
#[utoipa::path(post, path = "/1.0/provisioning/servers/:self_register", tag = "servers", responses((status = 400), (status = 403)))]
pub async fn self_register(Extension(caller): Extension<Caller>) -> ApiError {
    match caller {
        Caller::Unix => ApiError::bad_request("System isn't running IncusOS"),
        _ => ApiError::forbidden("Forbidden: Self register is only possible through unix socket"),
    }
}

/// No server can have this name, so it is not found.
pub async fn reserved_name() -> Error404 {
    Error404
}

/// The answer to [`reserved_name`].
pub struct Error404;

impl IntoResponse for Error404 {
    fn into_response(self) -> Response {
        ApiError::from(Error::NotFound("Failed to get server \":self\" by name".into())).into_response()
    }
}

/// One server.
#[utoipa::path(get, path = "/1.0/provisioning/servers/{name}", tag = "servers",
    params(("name" = String, Path)), responses((status = 200, body = Server), (status = 404)))]
pub async fn get(State(app): State<App>, PathName(name): PathName) -> Result<Tagged<Server>, ApiError> {
    let (server, generation) = server::get(&app.engine, &name).await?;
    Ok(Tagged(tag(&name, generation), server))
}

/// Replaces what people may set. A changed channel is pushed to the machine.
#[utoipa::path(put, path = "/1.0/provisioning/servers/{name}", tag = "servers",
    params(("name" = String, Path)), request_body = ServerPut, responses((status = 200), (status = 404), (status = 412)))]
pub async fn update(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathName(name): PathName,
    headers: HeaderMap,
    Lenient(put): Lenient<ServerPut>,
) -> Result<Empty, ApiError> {
    let stored = server::row(&app.engine, &name).await?;
    if_match(&headers, &tag(&name, stored.generation))?;
    let changed = server::update(&app.engine, &caller.actor(), &name, put, Some(stored.generation)).await?;
    if let Some(changed) = changed {
        server::actions::push_channel(&app.engine, &caller.actor(), &changed, &stored.channel).await?;
    }
    Ok(Empty)
}

/// Forgets the server; the machine is told nothing.
#[utoipa::path(delete, path = "/1.0/provisioning/servers/{name}", tag = "servers",
    params(("name" = String, Path)), responses((status = 200), (status = 404)))]
pub async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathName(name): PathName,
) -> Result<Empty, ApiError> {
    server::delete(&app.engine, &caller.actor(), &name).await?;
    Ok(Empty)
}

/// Gives it another name.
#[utoipa::path(post, path = "/1.0/provisioning/servers/{name}", tag = "servers",
    params(("name" = String, Path)), request_body = ServerRename, responses((status = 201), (status = 400), (status = 404), (status = 412)))]
pub async fn rename(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathName(name): PathName,
    headers: HeaderMap,
    Lenient(new): Lenient<ServerRename>,
) -> Result<Created<()>, ApiError> {
    let stored = server::row(&app.engine, &name).await?;
    if_match(&headers, &tag(&name, stored.generation))?;
    let location = format!("{URL}/{}", new.name);
    server::rename(&app.engine, &caller.actor(), &name, new.name, Some(stored.generation)).await?;
    Ok(Created(location, ()))
}

/// Polls it now, everything included.
#[utoipa::path(post, path = "/1.0/provisioning/servers/{name}/:resync", tag = "servers",
    params(("name" = String, Path)), responses((status = 200), (status = 404), (status = 500)))]
pub async fn resync(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathName(name): PathName,
) -> Result<Empty, ApiError> {
    poll::resync(&app.engine, &caller.actor(), &name).await?;
    Ok(Empty)
}

/// What the newest system of its channel would bring.
#[utoipa::path(get, path = "/1.0/provisioning/servers/{name}/changelog", tag = "servers",
    params(("name" = String, Path)), responses((status = 200, body = Changelog), (status = 404)))]
pub async fn changelog(State(app): State<App>, PathName(name): PathName) -> Result<Sync<Changelog>, ApiError> {
    Ok(Sync(update::of_server(&app.engine, &name).await?))
}

/// The network document as last polled, secrets masked.
#[utoipa::path(get, path = "/1.0/provisioning/servers/{name}/system/network", tag = "servers",
    params(("name" = String, Path)), responses((status = 200, body = Object), (status = 404)))]
pub async fn network(State(app): State<App>, PathName(name): PathName) -> Result<Response, ApiError> {
    document(&app, &name, "network").await
}

/// The storage document as last polled.
#[utoipa::path(get, path = "/1.0/provisioning/servers/{name}/system/storage", tag = "servers",
    params(("name" = String, Path)), responses((status = 200, body = Object), (status = 404)))]
pub async fn storage(State(app): State<App>, PathName(name): PathName) -> Result<Response, ApiError> {
    document(&app, &name, "storage").await
}

async fn document(app: &App, name: &str, part: &str) -> Result<Response, ApiError> {
    let row = server::row(&app.engine, name).await?;
    Ok(Tagged(tag(name, row.generation), server::document(&row, part)?).into_response())
}

/// Versions, with what the channel offers.
#[utoipa::path(get, path = "/1.0/provisioning/servers/{name}/system/update", tag = "servers",
    params(("name" = String, Path)), responses((status = 200, body = VersionData), (status = 404)))]
pub async fn versions(State(app): State<App>, PathName(name): PathName) -> Result<Tagged<VersionData>, ApiError> {
    let (server, generation) = server::get(&app.engine, &name).await?;
    Ok(Tagged(tag(&name, generation), server.version_data))
}
