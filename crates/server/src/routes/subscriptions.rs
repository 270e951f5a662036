//! `/1.0/subscriptions`: machines that are kept for somebody (`lifecycle.md` 1.8).

use crate::{
    App,
    answer::{Created, Empty, Sync, Tagged, etag, if_match},
    body::Strict,
    caller::Caller,
    error::ApiError,
    params::{Key, Listing, Page, Params, PathUuid, WHOLE},
};
use axum::{Extension, extract::State, http::HeaderMap};
use muster_api::subscription::{Subscription, SubscriptionDetail, SubscriptionPost, SubscriptionPut};
use muster_engine::services::subscription;
use serde::Serialize;
use utoipa::ToSchema;

const LIST: Listing = Listing { path: "/1.0/subscriptions", key: Key::Uuid, limits: WHOLE };

fn url(id: &str) -> String {
    format!("/1.0/subscriptions/{id}")
}

fn tag(id: &str, generation: i64) -> String {
    etag("subscription", id, generation)
}

/// Subscriptions by id, which is by age, always as objects. `status` and `holder` choose; `limit` and `cursor` (the last id
/// seen) page the list.
#[utoipa::path(get, path = "/1.0/subscriptions", tag = "subscriptions",
    params(("status" = Option<String>, Query), ("holder" = Option<String>, Query),
           ("limit" = Option<i64>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Vec<Subscription>), (status = 400)))]
pub async fn list(State(app): State<App>, params: Params) -> Result<Sync<Vec<Subscription>>, ApiError> {
    let Page { after, limit } = params.page(&LIST)?;
    let wanted = subscription::wanted(params.get("status"), params.get("holder"), after)?;
    Ok(Sync(subscription::list(&app.engine, wanted, limit).await?))
}

/// A subscription that was made.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewSubscription {
    id: String,
}

/// Makes a subscription. If its term runs, what there is of machines is bound to it before the answer comes.
#[utoipa::path(post, path = "/1.0/subscriptions", tag = "subscriptions", request_body = SubscriptionPost,
    responses((status = 201), (status = 400)))]
pub async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Strict(post): Strict<SubscriptionPost>,
) -> Result<Created<NewSubscription>, ApiError> {
    let id = subscription::create(&app.engine, &caller.actor(), post).await?;
    Ok(Created(url(&id), NewSubscription { id }))
}

/// One subscription with its machines.
#[utoipa::path(get, path = "/1.0/subscriptions/{uuid}", tag = "subscriptions", params(("uuid" = uuid::Uuid, Path)),
    responses((status = 200, body = SubscriptionDetail), (status = 404)))]
pub async fn get(State(app): State<App>, PathUuid(uuid): PathUuid) -> Result<Tagged<SubscriptionDetail>, ApiError> {
    let id = uuid.to_string();
    let (detail, generation) = subscription::get(&app.engine, &id).await?;
    Ok(Tagged(tag(&id, generation), detail))
}

/// Changes quantity, term and description of an active subscription; what is absent stays as it is.
#[utoipa::path(put, path = "/1.0/subscriptions/{uuid}", tag = "subscriptions", params(("uuid" = uuid::Uuid, Path)),
    request_body = SubscriptionPut, responses((status = 200), (status = 400), (status = 404), (status = 412)))]
pub async fn update(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathUuid(uuid): PathUuid,
    headers: HeaderMap,
    Strict(put): Strict<SubscriptionPut>,
) -> Result<Empty, ApiError> {
    let id = uuid.to_string();
    let (_, generation) = subscription::get(&app.engine, &id).await?;
    if_match(&headers, &tag(&id, generation))?;
    subscription::edit(&app.engine, &caller.actor(), &id, put, Some(generation)).await?;
    Ok(Empty)
}

/// Stops a subscription: it lets go of the machines that are bound to it; those in use stay with their holder.
#[utoipa::path(post, path = "/1.0/subscriptions/{uuid}/:stop", tag = "subscriptions", params(("uuid" = uuid::Uuid, Path)),
    responses((status = 200), (status = 400), (status = 404)))]
pub async fn stop(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathUuid(uuid): PathUuid,
) -> Result<Empty, ApiError> {
    subscription::stop(&app.engine, &caller.actor(), &uuid.to_string()).await?;
    Ok(Empty)
}

/// Removes a subscription that is stopped or over and has no machine left.
#[utoipa::path(delete, path = "/1.0/subscriptions/{uuid}", tag = "subscriptions", params(("uuid" = uuid::Uuid, Path)),
    responses((status = 200), (status = 400), (status = 404)))]
pub async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathUuid(uuid): PathUuid,
) -> Result<Empty, ApiError> {
    subscription::delete(&app.engine, &caller.actor(), &uuid.to_string()).await?;
    Ok(Empty)
}
