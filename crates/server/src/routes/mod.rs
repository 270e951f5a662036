//! The whole route table: every endpoint, what it asks of its caller, and so the OpenAPI document.

mod audit;
mod channels;
mod collections;
mod events;
mod expected_machines;
mod internal;
mod machine_alerts;
mod machine_filter;
mod machines;
mod operations;
mod os_proxy;
mod reports;
mod root;
mod server_actions;
mod server_filter;
mod server_schema;
mod server_stream;
mod server_types;
mod servers;
mod subscriptions;
mod system;
mod token_seeds;
mod tokens;
mod updates;
mod warnings;

use crate::{
    App,
    access::{Access, CREATE, DELETE, EDIT, Permission, REPORT, Routes, VIEW},
    path,
};
use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
};
use utoipa::OpenApi as _;
use utoipa_axum::routes;

/// What the document says about the whole.
#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "Muster",
    description = "Operations center for bare-metal fleets. Every JSON answer is the envelope {type, status, status_code, operation, error_code, error, metadata}."
))]
struct Document;

/// Builds the router. The second value is the permission table, sorted by path.
pub fn build(app: App) -> (Router, utoipa::openapi::OpenApi, Vec<Permission>) {
    let routes = Routes::new(app.clone(), Document::openapi());
    let routes = routes
        .add(Access::Open, routes!(root::root))
        .add(Access::Open, routes!(root::info))
        .add_any(Access::Open, "/ui", axum::routing::get(root::ui_slash))
        .add_any(Access::Open, "/os", axum::routing::any(root::os_slash))
        .add_any(EDIT, "/os/", axum::routing::any(root::os))
        .add_any(EDIT, "/os/{*rest}", axum::routing::any(root::os))
        .add(Access::Open, routes!(root::acme_challenge))
        .add(Access::Open, routes!(root::oidc_login))
        .add(Access::Open, routes!(root::oidc_callback))
        .add(Access::Open, routes!(root::oidc_logout))
        .add(VIEW, routes!(root::openapi))
        .add(VIEW, routes!(root::metrics));
    let routes = routes
        .add(VIEW, routes!(tokens::list))
        .add(CREATE, routes!(tokens::create))
        .add(VIEW, routes!(tokens::get))
        .add(EDIT, routes!(tokens::update))
        .add(DELETE, routes!(tokens::delete))
        .add(VIEW, routes!(tokens::provider_config))
        .add(VIEW, routes!(token_seeds::list))
        .add(CREATE, routes!(token_seeds::create))
        .add(Access::Handler, routes!(token_seeds::get))
        .add(EDIT, routes!(token_seeds::update))
        .add(DELETE, routes!(token_seeds::delete))
        .add(VIEW, routes!(token_seeds::prepare))
        .add(VIEW, routes!(token_seeds::prepared))
        .add(VIEW, routes!(channels::list))
        .add(CREATE, routes!(channels::create))
        .add(VIEW, routes!(channels::get))
        .add(EDIT, routes!(channels::update))
        .add(DELETE, routes!(channels::delete))
        .add(VIEW, routes!(channels::changelog))
        .add(EDIT, routes!(channels::freeze))
        .add(EDIT, routes!(channels::thaw));
    let routes = routes
        .add(Access::Open, routes!(updates::list))
        .add(CREATE, routes!(updates::upload))
        .add(CREATE, routes!(updates::missing))
        .add(DELETE, routes!(updates::cleanup))
        .add(CREATE, routes!(updates::refresh))
        .add_any(Access::Open, "/1.0/provisioning/updates/:refresh", axum::routing::get(updates::no_uuid))
        .add(Access::Open, routes!(updates::get))
        .add(EDIT, routes!(updates::assign))
        .add(VIEW, routes!(updates::export))
        .add(EDIT, routes!(updates::withdraw))
        .add(EDIT, routes!(updates::restore))
        .add(VIEW, routes!(updates::withdrawn))
        .add(Access::Open, routes!(updates::changelog))
        .add(Access::Open, routes!(updates::files))
        .add(Access::Open, routes!(updates::file))
        .add(VIEW, routes!(warnings::list))
        .add(VIEW, routes!(warnings::get))
        .add(EDIT, routes!(warnings::update));
    let routes = routes
        .add(VIEW, routes!(system::network))
        .add(EDIT, routes!(system::put_network))
        .add(VIEW, routes!(system::security))
        .add(EDIT, routes!(system::put_security))
        .add(VIEW, routes!(system::settings))
        .add(EDIT, routes!(system::put_settings))
        .add(VIEW, routes!(system::updates))
        .add(EDIT, routes!(system::put_updates))
        .add(EDIT, routes!(system::put_certificate))
        .add(EDIT, routes!(system::renew_certificate))
        .add(VIEW, routes!(system::key))
        .add(EDIT, routes!(system::rekey))
        .add(VIEW, routes!(audit::list))
        .add(VIEW, routes!(audit::head))
        .add(VIEW, routes!(audit::verify));
    let routes = routes
        .add(VIEW, routes!(servers::list))
        .add(Access::Handler, routes!(servers::create))
        .add(Access::Handler, routes!(servers::self_update))
        .add_any(VIEW, "/1.0/provisioning/servers/:self", axum::routing::get(servers::reserved_name))
        .add(EDIT, routes!(servers::self_register))
        .add(VIEW, routes!(servers::get))
        .add(EDIT, routes!(servers::update))
        .add(DELETE, routes!(servers::delete))
        .add(EDIT, routes!(servers::rename))
        .add(EDIT, routes!(servers::resync))
        .add(VIEW, routes!(servers::changelog))
        .add(VIEW, routes!(servers::network))
        .add(VIEW, routes!(servers::storage))
        .add(VIEW, routes!(servers::versions))
        .add_any(EDIT, "/1.0/provisioning/servers/{name}/os", axum::routing::any(os_proxy::forward))
        .add_any(EDIT, "/1.0/provisioning/servers/{name}/os/", axum::routing::any(os_proxy::forward))
        .add_any(EDIT, "/1.0/provisioning/servers/{name}/os/{*rest}", axum::routing::any(os_proxy::forward))
        .add(EDIT, routes!(server_actions::evacuate))
        .add(EDIT, routes!(server_actions::restore))
        .add(EDIT, routes!(server_actions::reboot))
        .add(EDIT, routes!(server_actions::poweroff))
        .add(EDIT, routes!(server_actions::update))
        .add(EDIT, routes!(server_actions::factory_reset, server_actions::factory_reset_delete))
        .add(EDIT, routes!(server_actions::put_network))
        .add(EDIT, routes!(server_actions::put_storage))
        .add(EDIT, routes!(server_actions::put_update))
        .add(VIEW, routes!(operations::list))
        .add(VIEW, routes!(operations::get))
        .add(EDIT, routes!(operations::cancel))
        .add(EDIT, routes!(operations::retry));
    let routes = routes
        .add(VIEW, routes!(reports::utilisation))
        .add(VIEW, routes!(machines::list))
        .add(CREATE, routes!(machines::create))
        .add(VIEW, routes!(machines::get))
        .add(EDIT, routes!(machines::update))
        .add(EDIT, routes!(machines::set_state))
        .add(VIEW, routes!(machines::notes))
        .add(EDIT, routes!(machines::add_note))
        .add(VIEW, routes!(machines::history))
        .add(EDIT, routes!(machines::make))
        .add(VIEW, routes!(events::stream))
        .add(EDIT, routes!(internal::dump))
        .add(EDIT, routes!(internal::query));
    let routes = routes
        .add(VIEW, routes!(subscriptions::list))
        .add(CREATE, routes!(subscriptions::create))
        .add(VIEW, routes!(subscriptions::get))
        .add(EDIT, routes!(subscriptions::update))
        .add(EDIT, routes!(subscriptions::stop))
        .add(DELETE, routes!(subscriptions::delete));
    let routes = routes
        .add(VIEW, routes!(server_types::list))
        .add(VIEW, routes!(server_types::get))
        .add(EDIT, routes!(server_types::update))
        .add(EDIT, routes!(server_types::merge))
        .add(DELETE, routes!(server_types::delete))
        .add(VIEW, routes!(machine_alerts::list))
        .add(REPORT, routes!(machine_alerts::replace))
        .add(REPORT, routes!(machine_alerts::merge))
        .add(REPORT, routes!(machine_alerts::delete))
        .add(EDIT, routes!(machine_alerts::set_override))
        .add(EDIT, routes!(machine_alerts::end_override))
        .add(VIEW, routes!(machine_alerts::hardware))
        .add(VIEW, routes!(machine_alerts::changes))
        .add(VIEW, routes!(expected_machines::list))
        .add(CREATE, routes!(expected_machines::create))
        .add(CREATE, routes!(expected_machines::import))
        .add(VIEW, routes!(expected_machines::get))
        .add(DELETE, routes!(expected_machines::delete));
    let routes = routes
        .add(VIEW, routes!(collections::clusters))
        .add(VIEW, routes!(collections::cluster_templates))
        .add(VIEW, routes!(collections::images))
        .add(VIEW, routes!(collections::image_sources))
        .add(VIEW, routes!(collections::instances));

    let (router, openapi, table) = routes.finish();
    app.set_openapi(&openapi);
    let metrics = app.metrics.clone();
    // The outer layers see what the inner router made of the request, `Allow` included.
    let router = Router::new()
        .fallback_service(router.fallback(path::not_found).with_state(app))
        .layer(from_fn(path::method_not_allowed))
        .layer(from_fn_with_state(metrics, crate::trace::requests))
        .layer(from_fn(path::clean));
    (router, openapi, table)
}
