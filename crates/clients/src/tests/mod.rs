//! Calls against a scripted peer over real TLS, and over a unix socket, on loopback.

mod center;
mod incus;
mod machine;
mod peer;
mod tls;
