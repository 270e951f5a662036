//! Changes that people make to a server's record (`servers.md` 3.4-3.7).

use super::{check, named, tracking, view};
use crate::{
    Actor, Engine, Error,
    machine::{self, By, New},
    services::audit,
};
use muster_api::provisioning::{
    server::{BmcConfig, MASK, ServerPost, ServerPut},
    status::{ServerStatus, ServerType, StatusDetail},
};
use muster_domain::{
    machine::{Command, birth::Birth},
    server::enrolment::Enrolment,
};
use muster_store::{
    Secret, StoreError,
    tables::servers::{self, Server as ServerRow},
};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Makes a record for a machine that is expected.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Constraint`] for a taken name or an unknown channel.
pub async fn pre_register(engine: &Engine, actor: &Actor, post: ServerPost) -> Result<String, Error> {
    check::name(&post.name)?;
    check::channel(&post.channel)?;
    check::public_url(&post.public_connection_url)?;
    check::bmc(&post.bmc_config)?;
    if !post.bmc_config.api_type.is_empty() {
        return Err(bmc_unreachable(&post.bmc_config));
    }
    let now = engine.clock().now();
    let (server_id, machine_id) = (Uuid::now_v7().to_string(), Uuid::now_v7().to_string());
    let actor = actor.clone();
    engine
        .store()
        .write(move |tx| {
            let by = By::new(&actor.0, "pre-registered", now.micros());
            machine::create(
                tx,
                &machine_id,
                New::default(),
                &Birth::PreRegistered { bmc: false, predecessor: None },
                by,
            )?;
            let mut row = ServerRow {
                id: server_id.clone(),
                machine_id: machine_id.clone(),
                name: post.name.clone(),
                server_type: ServerType::Unknown.as_str().into(),
                public_connection_url: post.public_connection_url.clone(),
                channel: post.channel.clone(),
                description: post.description.clone(),
                properties: properties(post.properties.as_ref()),
                bmc: "{}".into(),
                hardware_data: view::EMPTY_HARDWARE.into(),
                os_data: view::EMPTY_OS_DATA.into(),
                version_data: "{}".into(),
                bmc_data: view::EMPTY_BMC_DATA.into(),
                last_updated: now.micros(),
                generation: 1,
                ..ServerRow::default()
            };
            tracking::put(&mut row, &Enrolment::new(ServerStatus::Unregistered, StatusDetail::None, now.0));
            servers::insert(tx, &row)?;
            audit::append(tx, &audit::entry(now.micros(), &actor, "server.pre-register", "server", &row.name))
        })
        .await?;
    Ok(engine.identities().client.certificate_pem.clone())
}

/// Replaces what people may set. `expected` is the generation that the caller saw. Answers the server's id when its channel
/// changed, so that the machine is to be told.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`], [`Error::Constraint`], [`Error::Stale`].
pub async fn update(
    engine: &Engine,
    actor: &Actor,
    name: &str,
    put: ServerPut,
    expected: Option<i64>,
) -> Result<Option<ServerRow>, Error> {
    let invalid = |e: check::Invalid| Error::Invalid(format!("Failed updating server {name:?}: {e}"));
    let stored = super::row(engine, name).await?;
    let channel = if stored.cluster.is_some() { stored.channel.clone() } else { put.channel.clone() };
    check::channel(&channel).map_err(invalid)?;
    check::public_url(&put.public_connection_url).map_err(invalid)?;
    check::bmc(&put.bmc_config).map_err(invalid)?;
    if !put.bmc_config.api_type.is_empty() && !same_bmc(&put.bmc_config, &stored) {
        return Err(bmc_unreachable(&put.bmc_config));
    }
    let now = engine.clock().micros();
    let (wanted, actor, before) = (name.to_owned(), actor.clone(), stored.channel.clone());
    let row = engine
        .store()
        .write(move |tx| {
            let mut row = servers::get_by_name(tx, &wanted)?.ok_or(StoreError::NotFound)?;
            row.generation = expected.unwrap_or(row.generation);
            row.public_connection_url.clone_from(&put.public_connection_url);
            row.description.clone_from(&put.description);
            row.properties = properties(put.properties.as_ref());
            row.channel.clone_from(&channel);
            row.last_updated = now;
            let password = put_bmc(&mut row, &put.bmc_config);
            servers::update(tx, &row)?;
            if let Some(password) = password {
                servers::set_bmc_password(tx, &row.id, password.as_ref())?;
            }
            audit::append(tx, &audit::entry(now, &actor, "server.update", "server", &row.name))?;
            Ok(row)
        })
        .await
        .map_err(|e| named(e, name))?;
    let registered = tracking::status(&row) != ServerStatus::Unregistered;
    Ok((registered && row.channel != before).then_some(row))
}

/// Gives a server another name. The machine is not told.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`], [`Error::Constraint`], [`Error::Stale`].
pub async fn rename(
    engine: &Engine,
    actor: &Actor,
    name: &str,
    new: String,
    expected: Option<i64>,
) -> Result<(), Error> {
    check::name(&new)?;
    if new == name {
        return Err(Error::Invalid("Invalid server, the new name is the old one".into()));
    }
    let stored = super::row(engine, name).await?;
    if stored.cluster.is_some() {
        return Err(Error::NotPermitted(format!("server {name:?} is a member of a cluster and keeps its name")));
    }
    let now = engine.clock().micros();
    let (wanted, actor) = (name.to_owned(), actor.clone());
    let done = engine.store().write(move |tx| {
        servers::rename(tx, &wanted, &new, expected, now)?;
        let entry = audit::Entry {
            to_state: Some(new.clone()),
            ..audit::entry(now, &actor, "server.rename", "server", &wanted)
        };
        audit::append(tx, &entry)
    });
    done.await.map_err(|e| named(e, name))
}

/// Forgets the enrolment; the machine's record stays, as decommissioned. Nothing is sent to the machine.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Internal`] for a member of a cluster, as the reference answers.
pub async fn delete(engine: &Engine, actor: &Actor, name: &str) -> Result<(), Error> {
    let now = engine.clock().micros();
    let (wanted, actor) = (name.to_owned(), actor.clone());
    let gone = engine.store().write(move |tx| {
        let row = servers::get_by_name(tx, &wanted)?.ok_or(StoreError::NotFound)?;
        if let Err(refusal) =
            machine::command(tx, &row, &Command::DeleteServer, By::new(&actor.0, "server deleted", now))?
        {
            return Ok(Err(refusal));
        }
        audit::append(tx, &audit::entry(now, &actor, "server.delete", "server", &wanted))?;
        Ok(Ok(row.id))
    });
    match gone.await.map_err(|e| named(e, name))? {
        // The reference answers 500 for a member of a cluster.
        Err(refusal) => Err(Error::Internal(format!("server {name:?} cannot be deleted: {refusal}"))),
        Ok(id) => {
            engine.forget_machine(&id);
            Ok(())
        }
    }
}

fn properties(map: Option<&BTreeMap<String, String>>) -> Option<String> {
    map.and_then(|m| serde_json::to_string(m).ok())
}

/// Puts all but the password; answers what becomes of that: nothing when it is masked, else set or cleared.
fn put_bmc(row: &mut ServerRow, bmc: &BmcConfig) -> Option<Option<Secret>> {
    let password = if bmc.password.is_empty() { String::new() } else { MASK.to_owned() };
    let open = BmcConfig { password, auto_pin_certificate: false, ..bmc.clone() };
    row.bmc = serde_json::to_string(&open).unwrap_or_default();
    (bmc.password != MASK).then(|| (!bmc.password.is_empty()).then(|| Secret::new(bmc.password.clone())))
}

fn same_bmc(bmc: &BmcConfig, row: &ServerRow) -> bool {
    BmcConfig { auto_pin_certificate: false, ..bmc.clone() }
        == BmcConfig { auto_pin_certificate: false, ..view::bmc(row) }
}

/// The reference tests the connection before it stores; this version has no Redfish client, so it cannot vouch for one.
fn bmc_unreachable(bmc: &BmcConfig) -> Error {
    Error::Machine(format!(
        "Failed to perform connection test to BMC {:?}: this version cannot reach management controllers yet; leave bmc_config empty",
        bmc.endpoint
    ))
}
