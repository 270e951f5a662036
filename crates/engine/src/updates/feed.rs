//! A request's body, handed to a thread that reads it as a file. What the reader does not take is not asked for.

use bytes::{Buf, Bytes};
use std::io::{self, Read};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Chunks that wait for the reader.
const WAITING: usize = 4;

/// Why a body ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the upload broke off: {0}")]
pub struct BrokenOff(pub String);

enum Piece {
    Bytes(Bytes),
    Broken(BrokenOff),
    End,
}

/// Where the body goes in. Dropped without [`Feed::end`], the reader sees that it broke off.
pub struct Feed(Sender<Piece>);

impl Feed {
    /// Hands on some bytes; `false` when the reader has left.
    pub async fn bytes(&self, bytes: Bytes) -> bool {
        self.0.send(Piece::Bytes(bytes)).await.is_ok()
    }

    /// The body ended early.
    pub async fn broken(self, why: String) {
        self.0.send(Piece::Broken(BrokenOff(why))).await.ok();
    }

    /// The body is complete.
    pub async fn end(self) {
        self.0.send(Piece::End).await.ok();
    }
}

/// Where it comes out. Blocks; not for an async thread.
pub struct FeedReader {
    pieces: Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

/// Both ends of a body.
pub fn feed() -> (Feed, FeedReader) {
    let (sender, pieces) = channel(WAITING);
    (Feed(sender), FeedReader { pieces, current: Bytes::new(), ended: false })
}

impl FeedReader {
    /// Whether the end was read.
    pub fn ended(&self) -> bool {
        self.ended
    }
}

impl Read for FeedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.current = bytes,
                Some(Piece::End) => self.ended = true,
                Some(Piece::Broken(why)) => return Err(io::Error::other(why)),
                None => return Err(io::Error::other(BrokenOff("the sender went away".to_owned()))),
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
