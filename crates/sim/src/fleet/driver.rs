//! The task of one machine: lets its model act, listens, and talks to the center.

use std::io;
use std::sync::Arc;

use muster_clients::tls;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

use super::door::Door;
use super::simulated::{Simulated, What};
use crate::boot;
use crate::fault::Fault;
use crate::model::{Effect, Phase};
use crate::wire;

/// Attempts to tell the center something (servers.md 6.1).
const TELL_ATTEMPTS: u32 = 5;

/// Where a machine has its address.
pub(super) enum Place {
    /// Its own socket, which holds the address while the machine is down.
    Own(TcpSocket),
    /// Behind the fleet's listener.
    Behind(Arc<Door>),
}

enum Listener {
    Own(TcpListener),
    Behind(mpsc::Receiver<TcpStream>),
}

/// A machine that listens. Dropping it cuts every connection.
struct Listening {
    listener: Listener,
    acceptor: TlsAcceptor,
    cut: CancellationToken,
    _guard: DropGuard,
}

/// Lives as long as the machine: from its first power on until the fleet ends.
pub(super) async fn run(machine: Arc<Simulated>, place: Place, stop: CancellationToken) {
    let mut listening: Option<Listening> = None;
    // Ends with the boot: what the machine wanted to tell then is not told any more.
    let mut boot = stop.child_token();
    loop {
        let (effects, due) = machine.advance();
        for effect in effects {
            match effect {
                Effect::Listen => {
                    boot = stop.child_token();
                    listening = listen(&machine, &place, &boot);
                }
                Effect::Silence => {
                    boot.cancel();
                    listening = None;
                    machine.say(What::Silent);
                }
                Effect::Register => drop(tokio::spawn(register(machine.clone(), boot.clone()))),
                Effect::Tell(cause) => drop(tokio::spawn(tell(machine.clone(), cause, boot.clone(), stop.clone()))),
                Effect::Look { channel, installed } => {
                    drop(tokio::spawn(look(machine.clone(), channel, installed, boot.clone())));
                }
                Effect::Event(event) => machine.send_event(&event),
                Effect::NewIdentity => match machine.wipe() {
                    Ok(()) => machine.say(What::Wiped),
                    Err(cause) => machine.say(What::CannotListen(cause.to_string())),
                },
            }
        }
        if machine.take_relisten() && machine.phase() != Phase::Off {
            // The old listener must be gone before the new one can have its address.
            drop(listening.take());
            listening = listen(&machine, &place, &boot);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = machine.changed() => {}
            () = async { machine.sleep_until(due.unwrap_or_default()).await }, if due.is_some() => {}
            tcp = accept(listening.as_mut()) => match (tcp, &listening) {
                (Ok(tcp), Some(at)) => {
                    tokio::spawn(wire::serve(machine.clone(), tcp, at.acceptor.clone(), at.cut.clone()));
                }
                (Err(cause), _) => {
                    // Out of descriptors, as a rule: others may close theirs meanwhile.
                    debug!(machine = machine.number(), %cause, "cannot accept");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
                (Ok(_), None) => {}
            },
        }
    }
}

async fn accept(listening: Option<&mut Listening>) -> io::Result<TcpStream> {
    match listening.map(|listening| &mut listening.listener) {
        Some(Listener::Own(listener)) => listener.accept().await.map(|(tcp, _)| tcp),
        Some(Listener::Behind(connections)) => match connections.recv().await {
            Some(tcp) => Ok(tcp),
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

fn listen(machine: &Simulated, place: &Place, boot: &CancellationToken) -> Option<Listening> {
    if machine.fault() == Some(Fault::Refuse) {
        return None;
    }
    let open = || -> io::Result<Listening> {
        let listener = match place {
            Place::Own(reserved) => {
                let socket = TcpSocket::new_v4()?;
                socket.set_reuseaddr(true)?;
                socket.bind(reserved.local_addr()?)?;
                Listener::Own(socket.listen(128)?)
            }
            Place::Behind(door) => Listener::Behind(door.listen(machine.address())),
        };
        let credentials = machine.presented().map_err(io::Error::other)?;
        let acceptor = wire::acceptor(&credentials).map_err(io::Error::other)?;
        let cut = boot.child_token();
        Ok(Listening { listener, acceptor, _guard: cut.clone().drop_guard(), cut })
    };
    match open() {
        Ok(listening) => {
            machine.say(What::Listening(machine.url().to_owned()));
            Some(listening)
        }
        Err(cause) => {
            machine.say(What::CannotListen(cause.to_string()));
            None
        }
    }
}

/// Registers, again and again until the center takes it or the machine goes down: IncusOS does not go on without.
async fn register(machine: Arc<Simulated>, boot: CancellationToken) {
    let Some(provider) = machine.provider() else { return };
    let attempts = async {
        loop {
            match boot::register(&provider, &machine.credentials(), &machine.registration()).await {
                Ok(certificate) => return certificate,
                Err(cause) => machine.say(What::NotRegistered(cause.to_string())),
            }
            tokio::time::sleep(machine.timing().registering_again).await;
        }
    };
    let certificate = tokio::select! {
        () = boot.cancelled() => return,
        certificate = attempts => certificate,
    };
    match tls::leaf(&certificate) {
        Ok(leaf) => machine.trust(&tls::fingerprint(&leaf)),
        Err(cause) => machine.say(What::NotRegistered(format!("the center's certificate: {cause}"))),
    }
    machine.say(What::Registered);
    machine.change(crate::model::Model::registered);
}

/// Tells the center. The first attempt outlives a reboot, because it is the one that tells of it.
async fn tell(machine: Arc<Simulated>, cause: &'static str, boot: CancellationToken, stop: CancellationToken) {
    let Some(provider) = machine.provider() else { return };
    let credentials = machine.credentials();
    for attempt in 1..=TELL_ATTEMPTS {
        let told = tokio::select! {
            () = stop.cancelled() => return,
            told = boot::tell(&provider, &credentials, machine.url(), cause) => told,
        };
        match told {
            Ok(()) => return machine.say(What::Told(cause)),
            Err(error) => machine.say(What::NotTold(cause, error.to_string())),
        }
        if attempt < TELL_ATTEMPTS {
            tokio::select! {
                () = boot.cancelled() => return,
                () = tokio::time::sleep(machine.timing().telling_again) => {}
            }
        }
    }
}

/// Looks for an update at the center, and loads it.
async fn look(machine: Arc<Simulated>, channel: String, installed: String, boot: CancellationToken) {
    let Some(provider) = machine.provider() else { return };
    let credentials = machine.credentials();
    let found = tokio::select! {
        () = boot.cancelled() => return,
        found = boot::look(&provider, &credentials, &channel, &installed) => found,
    };
    match &found {
        Ok(Some(version)) => machine.say(What::Loaded(version.clone())),
        Ok(None) => {}
        Err(cause) => machine.say(What::NotLoaded(cause.to_string())),
    }
    let now = machine.clock();
    machine.change(|model| model.looked(found.map_err(|cause| cause.to_string()), now));
}
