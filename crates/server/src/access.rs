//! What each route asks of its caller. A route cannot be registered without saying so: [`Routes::add`] is the only way.

use crate::{App, caller::Caller, error::ApiError};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::Method,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use std::time::Duration;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt};

/// What a caller must bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Nothing.
    Open,
    /// The handler decides: a registration token, a machine's certificate, a public seed.
    Handler,
    /// A trusted caller with this entitlement.
    Entitled(Entitlement),
}

/// Rights on the center (`servers.md` 1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entitlement {
    /// Read.
    View,
    /// Change.
    Edit,
    /// Create.
    Create,
    /// Delete.
    Delete,
    /// Report what is wrong with machines, and nothing else: for tools that watch them.
    ReportAlerts,
}

impl Entitlement {
    /// The name in refusals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "can_view",
            Self::Edit => "can_edit",
            Self::Create => "can_create",
            Self::Delete => "can_delete",
            Self::ReportAlerts => "can_report_alerts",
        }
    }
}

/// Shorthands for route tables.
pub const VIEW: Access = Access::Entitled(Entitlement::View);
/// Change.
pub const EDIT: Access = Access::Entitled(Entitlement::Edit);
/// Create.
pub const CREATE: Access = Access::Entitled(Entitlement::Create);
/// Delete.
pub const DELETE: Access = Access::Entitled(Entitlement::Delete);

/// Report alerts.
pub const REPORT: Access = Access::Entitled(Entitlement::ReportAlerts);

/// One line of the permission table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// Path as routed.
    pub path: String,
    /// Upper case.
    pub method: String,
    /// What it asks.
    pub access: Access,
}

/// The routes under construction, with the permission of each.
pub struct Routes {
    router: OpenApiRouter<App>,
    app: App,
    table: Vec<Permission>,
}

impl Routes {
    /// None yet.
    pub fn new(app: App, openapi: utoipa::openapi::OpenApi) -> Self {
        let mut router = OpenApiRouter::from(Router::new().without_v07_checks());
        *router.get_openapi_mut() = openapi;
        Self { router, app, table: Vec::new() }
    }

    /// Registers documented routes behind their access check.
    #[must_use]
    pub fn add(mut self, access: Access, routes: UtoipaMethodRouter<App>) -> Self {
        for (path, item) in &routes.1.paths {
            for method in methods(item) {
                self.table.push(Permission { path: documented(path), method: method.into(), access });
            }
        }
        let layer = from_fn_with_state((self.app.clone(), access), check);
        self.router = self.router.routes(routes.map(|method_router| method_router.route_layer(layer)));
        self
    }

    /// Registers a pass-through that takes any method; not part of the document.
    #[must_use]
    pub fn add_any(mut self, access: Access, path: &str, routes: axum::routing::MethodRouter<App>) -> Self {
        self.table.push(Permission { path: path.into(), method: "ANY".into(), access });
        let layer = from_fn_with_state((self.app.clone(), access), check);
        self.router = self.router.route(path, routes.layer(layer));
        self
    }

    /// The router, its document and the permission table.
    pub fn finish(self) -> (Router<App>, utoipa::openapi::OpenApi, Vec<Permission>) {
        let (router, mut openapi) = self.router.split_for_parts();
        let paths = std::mem::take(&mut openapi.paths.paths);
        openapi.paths.paths = paths.into_iter().map(|(path, item)| (documented(&path), item)).collect();
        let mut table = self.table;
        table.sort();
        (router, openapi, table)
    }
}

/// A path as the document writes it: there, a rest of several segments is a parameter like any other.
fn documented(path: &str) -> String {
    path.replace("{*", "{")
}

/// The methods that a path item documents.
pub fn methods(item: &utoipa::openapi::PathItem) -> Vec<&'static str> {
    [
        ("GET", item.get.is_some()),
        ("PUT", item.put.is_some()),
        ("POST", item.post.is_some()),
        ("DELETE", item.delete.is_some()),
        ("PATCH", item.patch.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, there)| there.then_some(name))
    .collect()
}

/// How much of a refused body is read, and for how long.
const DRAIN_BYTES: usize = 1 << 20;
const DRAIN_WITHIN: Duration = Duration::from_secs(1);

async fn check(State((app, access)): State<(App, Access)>, mut request: Request, next: Next) -> Response {
    let caller = Caller::of(&app, request.extensions());
    // What is open is so to GET only, as in the reference: a HEAD without trust is refused.
    let closed = matches!(access, Access::Entitled(_))
        || request.method() == Method::HEAD && request.uri().path().starts_with("/1.0");
    if closed && !caller.trusted() {
        drain(request.into_body()).await;
        return ApiError::unauthorized().into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Reads a little of what a refused caller sends: closing a connection with unread data on it loses the answer.
async fn drain(body: Body) {
    let read = async {
        let (mut left, mut body) = (DRAIN_BYTES, body.into_data_stream());
        while let Some(Ok(chunk)) = body.next().await
            && left > chunk.len()
        {
            left -= chunk.len();
        }
    };
    tokio::time::timeout(DRAIN_WITHIN, read).await.ok();
}
