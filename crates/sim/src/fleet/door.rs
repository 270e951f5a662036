//! One listener for all machines of a fleet, each on an address of its own.
//!
//! Under Linux all of 127.0.0.0/8 is this machine. A listener on 0.0.0.0 is therefore reached on every address of it, and
//! the address that a connection came to says which machine is meant. So a machine costs no descriptor but its connections.
//!
//! One thing shows that machines do not listen for themselves: a connection to one that is off, or that refuses, is
//! established by the kernel first and then reset, before a byte was read or written. With a listener of its own
//! it would be refused.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Connections that wait to be accepted, for all machines.
const BACKLOG: u32 = 4096;

/// Connections that wait for one machine to take them.
const WAITING: usize = 32;

/// What it rests when there is no descriptor left: others may close theirs meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// The interface that it listens on.
const LOOPBACK: &[u8] = b"lo";

/// The listener, and who listens behind it.
pub(super) struct Door {
    port: u16,
    behind: Mutex<HashMap<IpAddr, mpsc::Sender<TcpStream>>>,
}

impl Door {
    /// Listens on this port, or on a free one for 0, until the fleet ends.
    pub fn open(port: u16, stop: CancellationToken) -> io::Result<Arc<Self>> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        // Best effort: nobody outside gets even as far as being refused below.
        if let Err(cause) = socket.bind_device(Some(LOOPBACK)) {
            debug!(%cause, "cannot listen on the loopback interface alone");
        }
        socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?;
        let listener = socket.listen(BACKLOG)?;
        let door = Arc::new(Self { port: listener.local_addr()?.port(), behind: Mutex::default() });
        let here = door.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = here.accept(listener) => {}
            }
        });
        Ok(door)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections to this address, until the receiver is dropped.
    pub fn listen(&self, at: IpAddr) -> mpsc::Receiver<TcpStream> {
        let (sender, receiver) = mpsc::channel(WAITING);
        self.behind.lock().unwrap_or_else(PoisonError::into_inner).insert(at, sender);
        receiver
    }

    async fn accept(&self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((tcp, peer)) => {
                    if let Some(unwanted) = self.hand_over(tcp, peer.ip()) {
                        // Best effort: without it the peer sees an orderly end before the first byte.
                        let _ = unwanted.set_zero_linger();
                    }
                }
                Err(cause) => {
                    debug!(%cause, "cannot accept");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Gives a connection to the machine that it is for, or back when there is none that takes it.
    fn hand_over(&self, tcp: TcpStream, peer: IpAddr) -> Option<TcpStream> {
        let Ok(local) = tcp.local_addr() else { return Some(tcp) };
        if !admitted(peer, local.ip()) {
            debug!(%peer, %local, "not of the loopback");
            return Some(tcp);
        }
        let behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(machine) = behind.get(&local.ip()) else { return Some(tcp) };
        machine.try_send(tcp).err().map(|back| match back {
            mpsc::error::TrySendError::Full(tcp) | mpsc::error::TrySendError::Closed(tcp) => tcp,
        })
    }
}

/// Whether both ends of a connection are of the loopback.
fn admitted(peer: IpAddr, local: IpAddr) -> bool {
    peer.is_loopback() && local.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[test]
    fn both_ends_must_be_of_the_loopback() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(admitted(ip("127.0.0.1"), ip("127.64.3.9")));
        assert!(!admitted(ip("192.0.2.1"), ip("127.64.3.9")));
        assert!(!admitted(ip("127.0.0.1"), ip("192.0.2.1")));
        assert!(!admitted(ip("192.0.2.1"), ip("192.0.2.1")));
    }

    #[tokio::test]
    async fn a_connection_goes_to_the_address_it_came_to_and_is_reset_where_nobody_listens() {
        let stop = CancellationToken::new();
        let door = Door::open(0, stop.clone()).unwrap();
        let (one, two) = (IpAddr::from([127, 64, 0, 1]), IpAddr::from([127, 64, 0, 2]));
        let (mut first, mut second) = (door.listen(one), door.listen(two));
        let to = |ip: IpAddr| TcpStream::connect((ip, door.port()));

        let caller = to(two).await.unwrap();
        let tcp = second.recv().await.unwrap();
        assert_eq!(tcp.peer_addr().unwrap(), caller.local_addr().unwrap());
        assert_eq!(tcp.local_addr().unwrap().ip(), two);
        assert!(first.try_recv().is_err());

        drop(second);
        for nobody in [two, IpAddr::from([127, 64, 0, 3])] {
            // The reset may come before the caller has learned that it was connected.
            if let Ok(mut caller) = to(nobody).await {
                assert_eq!(caller.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            }
        }
        let _again = door.listen(two);
        to(one).await.unwrap();
        assert!(first.recv().await.is_some());

        stop.cancel();
        let gone = async { while to(one).await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the listener ends with the fleet");
    }
}
