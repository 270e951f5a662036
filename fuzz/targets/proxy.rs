//! The PROXY header of a trusted proxy: the first byte says in how large pieces it arrives, the rest is the stream.
#![no_main]

// Taken as a file: the crate would bring the database along.
#[path = "../../crates/server/src/listen/proxy.rs"]
mod proxy;

use libfuzzer_sys::fuzz_target;
use muster_fuzz::speaks;
use proxy_header::{ProxiedAddress, ProxyHeader};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// Longest header of version 1, as its specification says.
const V1_LIMIT: usize = 107;
/// Longest header of version 2: signature, length, and what a 16-bit length allows.
const V2_LIMIT: usize = 16 + 65_535;

/// A stream that is all there, but comes in pieces.
struct Pieces<'a> {
    left: &'a [u8],
    size: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (now, later) = self.left.split_at(self.left.len().min(self.size).min(buffer.remaining()));
        buffer.put_slice(now);
        self.left = later;
        Poll::Ready(Ok(()))
    }
}

/// Nothing here ever waits: the stream has ended or has more.
fn done<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("waits for a stream that has ended"),
    }
}

/// Whom the proxy speaks for, and the bytes that TLS gets.
fn read(stream: &[u8], size: usize) -> io::Result<(Option<SocketAddr>, Vec<u8>)> {
    done(async {
        let mut stream = proxy::read(stream[0], Pieces { left: stream, size }).await?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await?;
        Ok((proxy::client(&stream), rest))
    })
}

fn address(bytes: &[u8], v6: bool) -> SocketAddr {
    let mut all = [0u8; 18];
    for (to, from) in all.iter_mut().zip(bytes) {
        *to = *from;
    }
    let port = u16::from_be_bytes([all[0], all[1]]);
    let ip: [u8; 16] = all[2..].try_into().expect("16 bytes");
    let [a, b, c, d, ..] = ip;
    if v6 { SocketAddr::new(ip.into(), port) } else { SocketAddr::new([a, b, c, d].into(), port) }
}

fuzz_target!(|data: &[u8]| {
    let Some((size, stream)) = data.split_first() else { return };
    if stream.is_empty() {
        return;
    }
    let size = usize::from(*size).max(1);
    let whole = read(stream, usize::MAX);
    let pieces = read(stream, size);
    match &whole {
        Err(error) => speaks(error),
        Ok((client, rest)) => {
            assert!(stream.ends_with(rest), "TLS gets other bytes than were sent");
            let header = stream.len() - rest.len();
            match stream[0] {
                b'P' => assert!(header >= "PROXY UNKNOWN\r\n".len()),
                b'\r' => assert!((16..=V2_LIMIT).contains(&header)),
                _ => assert!(header == 0 && client.is_none(), "a header out of nothing"),
            }
            // How the network cuts it makes no difference; longer headers of version 1 are refused once they are noticed.
            if stream[0] != b'P' || header <= V1_LIMIT {
                assert_eq!(pieces.as_ref().ok(), whole.as_ref().ok(), "in pieces of {size}: {pieces:?}");
            }
        }
    }

    // What a proxy writes for an address is what we read.
    let v6 = size % 2 == 1;
    let (source, destination) = (address(stream, v6), address(&stream[stream.len() / 2..], v6));
    let header = ProxyHeader::with_address(ProxiedAddress::stream(source, destination));
    let encoders = [ProxyHeader::encode_v1, ProxyHeader::encode_v2];
    for encode in encoders {
        let mut sent = Vec::new();
        encode(&header, &mut sent).expect("an address can be written");
        sent.extend_from_slice(stream);
        let (client, rest) = read(&sent, size).expect("a good header");
        assert_eq!(client, Some(proxy::canonical(source)));
        assert_eq!(rest, stream);
    }
});
