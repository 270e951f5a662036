//! The only place where everything is constructed, and ended in order.

use crate::{
    App, build,
    config::Options,
    listen::{Limits, ServerCertificate, TcpListeners, Tls, UnixSocket},
};
use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use muster_engine::{
    Engine, clock::Clock, images, operation, overrun, poll, promotion, reservation, settings, updates::schedule, upkeep,
};
use muster_store::{KeyRing, Store};
use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::Path, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, reload, util::SubscriberInitExt};

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// What keeps it from starting, with the remedy.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<()> {
    let level = |stored: &str| {
        let stored = if stored.is_empty() { "warn".to_owned() } else { stored.to_ascii_lowercase() };
        EnvFilter::new(options.log_level().map_or(stored, str::to_owned))
    };
    let (filter, log) = reload::Layer::new(level(""));
    tracing_subscriber::registry()
        .with(filter)
        .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr))
        .init();

    #[cfg(feature = "crash-points")]
    crate::crash::arm()?;
    crate::descriptors::raise();
    let var = options.var();
    directory(&var)?;
    let socket = options.unix_socket();
    directory(socket.parent().unwrap_or(Path::new(".")))?;
    let (location, key_file) = (options.location(&var), options.key_file(&var));
    let lease = Duration::from_secs(options.lease.into());
    let updates_source = options.updates_source.clone();
    let poll_within = options.poll_within.map_or(Duration::MAX, |seconds| Duration::from_secs(seconds.into()));
    let engine = tokio::task::spawn_blocking(move || -> Result<Engine> {
        let keys = match KeyRing::from_env()? {
            Some(keys) => keys,
            None => KeyRing::load_or_create(&key_file).context("cannot load the key that seals secrets")?,
        };
        let store = Store::open(&location, keys).context("cannot open the database")?;
        if let Some(source) = updates_source {
            settings::begin_with_source(&store, &source).context("--updates-source")?;
        }
        let engine = Engine::start(store, Clock::system(), var)?.with_lease(lease).with_poll_within(poll_within);
        #[cfg(feature = "crash-points")]
        let engine = crate::crash::with_small_images(engine)?;
        Ok(engine)
    })
    .await??;

    let server = &engine.identities().server;
    let certificate = Arc::new(ServerCertificate::new(&server.certificate_pem, &server.key_pem)?);
    let proxies = Arc::new(ArcSwap::from_pointee(engine.settings().trusted_proxies()));
    let app = App::new(engine.clone(), certificate.clone());
    let (router, _, _) = build(app.clone());
    let tls = Tls { certificate, trusted_proxies: proxies.clone() };
    let listeners = app.listeners.get_or_init(|| TcpListeners::new(tls, router.clone(), shutdown.clone()));
    let unix =
        UnixSocket::bind(socket.clone()).await.with_context(|| format!("cannot listen on {}", socket.display()))?;
    let unix = tokio::spawn(unix.serve(router, Limits::default(), shutdown.clone()));

    let mut address = engine.settings().listen();
    if let Some(address) = address {
        listeners.set(Some(address)).await.with_context(|| format!("cannot listen on {address}"))?;
    }

    let driver = tokio::spawn(operation::run(engine.clone(), shutdown.clone()));
    let preparing = tokio::spawn(images::run(engine.clone(), shutdown.clone()));
    let keeping = tokio::spawn({
        let (engine, shutdown) = (engine.clone(), shutdown.clone());
        async move { engine.keep_step(shutdown).await }
    });
    let background = (!options.disable_background_tasks).then(|| {
        [
            tokio::spawn(poll::run(engine.clone(), shutdown.clone())),
            tokio::spawn(upkeep::run(engine.clone(), shutdown.clone())),
            tokio::spawn(promotion::run(engine.clone(), shutdown.clone())),
            tokio::spawn(overrun::run(engine.clone(), shutdown.clone())),
            tokio::spawn(reservation::run(engine.clone(), shutdown.clone())),
            tokio::spawn(schedule::run(engine.clone(), options.skip_first_refresh, shutdown.clone())),
        ]
    });

    // Settings take effect wherever they were changed.
    let mut settings = engine.watch_settings();
    let follow = async {
        let mut shown = engine.identities();
        loop {
            let now = settings.borrow_and_update().clone();
            proxies.store(Arc::new(now.trusted_proxies()));
            log.reload(level(&now.settings.log_level)).ok();
            if now.listen() != address {
                address = now.listen();
                // Whoever set it here has bound it already. Set through another daemon of the site, it may be one that
                // this host does not have: then the old one stays.
                if let Err(error) = listeners.set(address).await {
                    tracing::error!(?address, %error, "cannot listen on the site's address; the former one stays");
                }
            }
            let identities = engine.identities();
            if identities.server != shown.server {
                shown = identities;
                if let Err(error) = app.show_certificate() {
                    tracing::error!(?error, "cannot use the site's certificate; the former one stays");
                }
            }
            if settings.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = follow => shutdown.cancel(),
    }
    // Event streams have no end of their own: they end first, so that nothing has to wait for them.
    engine.stopping().cancel();
    listeners.drain().await;
    engine.stop().await;
    driver.await?;
    preparing.await?;
    keeping.await?;
    for task in background.into_iter().flatten() {
        task.await?;
    }
    unix.await?;
    Ok(())
}

fn directory(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(path)
        .with_context(|| format!("cannot create {}", path.display()))
}
