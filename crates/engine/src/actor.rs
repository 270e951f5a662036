/// Who did it, for the audit: `unix`, `tls:<fingerprint>`, `machine:<name>`, `system`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(pub String);

impl Actor {
    /// The daemon by itself.
    pub fn system() -> Self {
        Self("system".into())
    }
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
