//! One kept connection to each machine, and one turn at a time for its polls.

use super::scriptlet::Ran;
use crate::{Engine, Error};
use muster_clients::{
    machine::{Counters, Machine},
    tls::{Credentials, Trust},
};
use muster_store::tables::servers::Server as ServerRow;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicI64},
};

/// All connections of this process.
#[derive(Default)]
pub(crate) struct Connections {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    counters: Arc<Counters>,
    credentials: Mutex<Option<(String, Arc<Credentials>)>>,
}

/// What belongs to one server.
#[derive(Default)]
pub(crate) struct Slot {
    /// Held by the poll that is under way.
    pub turn: tokio::sync::Mutex<()>,
    /// When the last full poll began whose findings are stored, in microseconds since 1970.
    pub known_of: AtomicI64,
    machine: Mutex<Option<(String, Arc<Machine>)>>,
    /// What the registration scriptlet left for this certificate, until it is stored: it does not run again because
    /// something newer was written to the server meanwhile.
    pub ran: Mutex<Option<(String, Arc<Ran>)>>,
}

impl Engine {
    /// The kept connection to the machine of a server. Opens nothing yet.
    ///
    /// # Errors
    /// [`Error::Machine`] for an address or a certificate that cannot be used.
    pub fn machine(&self, row: &ServerRow) -> Result<Arc<Machine>, Error> {
        let slot = self.connections().slot(&row.id);
        self.connections().machine(self, &slot, row).map_err(Error::Machine)
    }
}

impl Connections {
    /// The slot of a server.
    pub fn slot(&self, id: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(id.to_owned()).or_default().clone()
    }

    /// Drops what is kept of a server that is gone.
    pub fn forget(&self, id: &str) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Handshakes and requests of all machines.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// The kept client, or a new one when address or certificate changed.
    pub fn machine(&self, engine: &Engine, slot: &Slot, row: &ServerRow) -> Result<Arc<Machine>, String> {
        let identity = engine.identities().client.clone();
        let print = row.fingerprint.clone().unwrap_or_default();
        let key = format!("{} {print}", row.connection_url);
        let mut kept = slot.machine.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((present, machine)) = &*kept
            && *present == key
        {
            return Ok(machine.clone());
        }
        let trust = match row.certificate.as_deref() {
            Some(pem) => Trust::pinned(pem).map_err(|e| format!("its certificate cannot be read: {e}"))?,
            None => Trust::SystemRoots,
        };
        let credentials = self.credentials(&identity)?;
        let machine = Machine::new(&row.connection_url, &trust, Some(credentials), self.counters.clone())
            .map_err(|e| format!("{:?} cannot be used as its address: {e}", row.connection_url))?;
        let machine = Arc::new(machine);
        *kept = Some((key, machine.clone()));
        Ok(machine)
    }

    fn credentials(&self, identity: &muster_clients::tls::Identity) -> Result<Arc<Credentials>, String> {
        let mut kept = self.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((pem, credentials)) = &*kept
            && *pem == identity.certificate_pem
        {
            return Ok(credentials.clone());
        }
        let credentials = identity.credentials().map_err(|e| format!("the center's own client certificate: {e}"))?;
        *kept = Some((identity.certificate_pem.clone(), credentials.clone()));
        Ok(credentials)
    }
}
