//! The inbound edge over loopback sockets: who a request comes from, what is refused, what changes
//! while it runs (`servers.md` 1.1, 1.5; `updates-and-system.md` 1.1, 6.2).

#[path = "listen/client.rs"]
mod client;

use client::{Client, Identity, connect, connect_over, generous, get, open, server, within};
use muster_server::listen::Limits;
use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn without_a_certificate_a_client_is_welcome_and_nobody() {
    let server = server(generous()).await;
    let mut client = connect(&server, client::config(None)).await.unwrap();
    let (address, fingerprint) = client.who().await.unwrap();
    assert_eq!(address, client.local);
    assert_eq!(fingerprint, "none");
}

#[tokio::test]
async fn a_certificate_is_known_by_its_fingerprint_over_both_protocols() {
    let server = server(generous()).await;
    let machine = Identity::new("machine");
    for protocol in ["h2", "http/1.1"] {
        let mut config = client::config(Some(machine.proven()));
        config.alpn_protocols = vec![protocol.into()];
        let mut client = connect(&server, config).await.unwrap();
        assert_eq!(client.protocol, protocol);
        assert_eq!(client.who().await.unwrap().1, machine.fingerprint());
        assert_eq!(client.who().await.unwrap().1, machine.fingerprint(), "the connection is kept");
    }
}

#[tokio::test]
async fn only_the_proven_certificate_of_a_chain_counts() {
    let server = server(generous()).await;
    let (stranger, trusted) = (Identity::new("stranger"), Identity::new("trusted"));
    let chain = stranger.followed_by(&trusted);
    let mut client = connect(&server, client::config(Some(chain))).await.unwrap();
    assert_eq!(client.who().await.unwrap().1, stranger.fingerprint());
}

#[tokio::test]
async fn a_certificate_without_its_key_is_refused() {
    let server = server(generous()).await;
    let (stranger, trusted) = (Identity::new("stranger"), Identity::new("trusted"));
    let stolen = trusted.with_key_of(&stranger);
    assert!(get(&server, client::config(Some(stolen))).await.is_err());
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let server = server(generous()).await;
    let error = connect(&server, client::config_tls12()).await.err().unwrap();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
}

#[tokio::test]
async fn a_new_certificate_serves_at_once_even_whoever_could_resume() {
    let server = server(generous()).await;
    let config = client::config(None);
    let mut old = connect(&server, config.clone()).await.unwrap();
    old.who().await.unwrap();
    let next = Identity::new("localhost");
    server.certificate.replace(&next.pem(), &next.key_pem()).unwrap();
    let mut new = connect(&server, config).await.unwrap();
    new.who().await.unwrap();
    assert_eq!(old.server_fingerprint, server.identity.fingerprint());
    assert_eq!(new.server_fingerprint, next.fingerprint());
    old.who().await.expect("the open connection goes on");
}

#[tokio::test]
async fn the_address_moves_and_open_connections_stay() {
    let server = server(generous()).await;
    let before = server.address().await;
    let mut old = connect(&server, client::config(None)).await.unwrap();
    let wish = Some("127.0.0.2:0".parse().unwrap());
    server.listeners.set(wish).await.unwrap();
    let now = server.address().await;
    assert_ne!(now, before);
    get(&server, client::config(None)).await.unwrap();
    old.who().await.expect("the open connection goes on");
    assert_eq!(TcpStream::connect(before).await.err().unwrap().kind(), ErrorKind::ConnectionRefused);
    server.listeners.set(wish).await.unwrap();
    assert_eq!(server.address().await, now, "the same wish again changes nothing");
    server.listeners.set(None).await.unwrap();
    assert!(TcpStream::connect(now).await.is_err());
}

#[tokio::test]
async fn an_address_in_use_leaves_the_old_one() {
    let server = server(generous()).await;
    let before = server.address().await;
    let other = TcpListener::bind(LOOPBACK).await.unwrap();
    let error = server.listeners.set(Some(other.local_addr().unwrap())).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert_eq!(server.address().await, before);
    get(&server, client::config(None)).await.unwrap();
}

#[tokio::test]
async fn the_wildcard_gives_way_to_one_address_with_the_same_port_and_back() {
    let server = server(generous()).await;
    server.listeners.set(Some("0.0.0.0:0".parse().unwrap())).await.unwrap();
    let port = server.address().await.port();
    for address in ["127.0.0.1", "0.0.0.0", "127.0.0.3"] {
        let address = SocketAddr::new(address.parse().unwrap(), port);
        server.listeners.set(Some(address)).await.unwrap();
        assert_eq!(server.address().await, address);
        get(&server, client::config(None)).await.unwrap();
        let second = TcpListener::bind(address).await;
        assert_eq!(second.err().unwrap().kind(), ErrorKind::AddrInUse, "the port is not shared for good");
    }
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

#[tokio::test]
async fn a_header_that_trickles_in_is_cut_off() {
    let server = server(Limits { first_request: Duration::from_millis(300), ..generous() }).await;
    let mut config = client::config(None);
    config.alpn_protocols = vec!["http/1.1".into()];
    let mut stream = open(server.address().await, config).await.unwrap();
    let trickle = async {
        let mut answer = [0; 16];
        loop {
            if stream.write_all(b"G").await.is_err() {
                return;
            }
            if let Ok(read) = tokio::time::timeout(Duration::from_millis(20), stream.read(&mut answer)).await {
                assert_eq!(read.unwrap_or(0), 0, "the server closes without an answer");
                return;
            }
        }
    };
    within(SOON, trickle).await;
}

#[tokio::test]
async fn a_silent_connection_is_cut_off() {
    let short = Duration::from_millis(200);
    let server = server(Limits { handshake: short, proxy_header: short, ..generous() }).await;
    for proxies in [vec![], vec![LOOPBACK.ip()]] {
        server.trusted_proxies.store(proxies.into());
        let mut stream = TcpStream::connect(server.address().await).await.unwrap();
        let read = within(Duration::from_secs(4), stream.read(&mut [0; 16])).await;
        assert_eq!(read.unwrap_or(0), 0);
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_but_not_a_long_request() {
    let server = server(Limits { idle: Duration::from_millis(200), ..generous() }).await;
    for protocol in ["h2", "http/1.1"] {
        let mut config = client::config(None);
        config.alpn_protocols = vec![protocol.into()];
        let mut client = connect(&server, config).await.unwrap();
        assert_eq!(client.get("/slow").await.unwrap(), "done");
        client.who().await.expect("still open right after");
        within(SOON, client.closed()).await;
    }
}

/// A connection that begins with these bytes, sent in two pieces as a network may deliver them.
async fn connect_after(address: SocketAddr, header: &[u8]) -> io::Result<Client> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (start, rest) = header.split_at(3);
    stream.write_all(start).await?;
    sleep(Duration::from_millis(20)).await;
    stream.write_all(rest).await?;
    connect_over(stream, client::config(None)).await
}

#[tokio::test]
async fn a_proxy_header_counts_from_a_trusted_proxy_only() {
    let server = server(generous()).await;
    let address = server.address().await;
    let client = SocketAddr::from(([192, 0, 2, 7], 4711));
    let version1 = format!("PROXY TCP4 192.0.2.7 127.0.0.1 4711 {}\r\n", address.port()).into_bytes();
    let mut version2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    version2.extend([192, 0, 2, 7, 127, 0, 0, 1]);
    version2.extend(4711_u16.to_be_bytes());
    version2.extend(address.port().to_be_bytes());

    for header in [&version1, &version2] {
        assert!(connect_after(address, header).await.is_err(), "nobody else may say whom it speaks for");
    }
    server.trusted_proxies.store(vec![LOOPBACK.ip()].into());
    for header in [&version1, &version2] {
        let mut proxied = connect_after(address, header).await.unwrap();
        assert_eq!(proxied.who().await.unwrap().0, client);
    }
    let mut own = connect(&server, client::config(None)).await.unwrap();
    assert_eq!(own.who().await.unwrap().0, own.local, "the header is optional");
    let mut unknown = connect_after(address, b"PROXY UNKNOWN\r\n").await.unwrap();
    assert_eq!(unknown.who().await.unwrap().0, unknown.local);
    assert!(connect_after(address, b"PROXY NONSENSE\r\n").await.is_err());
}

#[tokio::test]
async fn a_proxy_named_by_its_ipv4_address_is_trusted_on_an_ipv6_listener() {
    let server = server(generous()).await;
    server.listeners.set(Some("[::]:0".parse().unwrap())).await.unwrap();
    server.trusted_proxies.store(vec![LOOPBACK.ip()].into());
    let address = SocketAddr::new(LOOPBACK.ip(), server.address().await.port());
    let mut proxied = connect_after(address, b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n").await.unwrap();
    assert_eq!(proxied.who().await.unwrap().0, SocketAddr::from(([192, 0, 2, 7], 4711)));
    let mut own = connect_over(TcpStream::connect(address).await.unwrap(), client::config(None)).await.unwrap();
    assert_eq!(own.who().await.unwrap().0, own.local, "shown as IPv4");
}

#[tokio::test]
async fn further_connections_wait_for_a_free_place() {
    let server = server(Limits { connections: 1, ..generous() }).await;
    let first = connect(&server, client::config(None)).await.unwrap();
    let mut second = Box::pin(get(&server, client::config(None)));
    tokio::select! {
        _ = &mut second => panic!("there is no place yet"),
        () = sleep(Duration::from_millis(200)) => {}
    }
    drop(first);
    within(SOON, second).await.unwrap();
}

#[tokio::test]
async fn stopping_lets_requests_finish_and_takes_no_more() {
    let server = server(generous()).await;
    let address = server.address().await;
    let mut idle = connect(&server, client::config(None)).await.unwrap();
    idle.who().await.unwrap();
    let mut busy = connect(&server, client::config(None)).await.unwrap();
    let stop = async {
        sleep(Duration::from_millis(100)).await;
        server.shutdown.cancel();
        within(Duration::from_secs(5), server.listeners.drain()).await;
    };
    let (answer, ()) = tokio::join!(busy.get("/slow"), stop);
    assert_eq!(answer.unwrap(), "done");
    assert!(TcpStream::connect(address).await.is_err());
    within(SOON, idle.closed()).await;
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let drain = Duration::from_millis(200);
    let server = server(Limits { drain, ..generous() }).await;
    let mut stuck = connect(&server, client::config(None)).await.unwrap();
    let stop = async {
        sleep(Duration::from_millis(100)).await;
        let stopped = Instant::now();
        within(Duration::from_secs(5), server.listeners.drain()).await;
        stopped.elapsed()
    };
    let (answer, took) = tokio::join!(stuck.get("/never"), stop);
    assert!(answer.is_err());
    assert!(took >= drain, "the drain time is granted");
}
