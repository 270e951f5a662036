//! Who may do what (`servers.md` 1.6): what each call asks for, and what each kind of caller has.

use serde::{Deserialize, Serialize};

/// What a caller may be entitled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Entitlement {
    /// Read.
    #[serde(rename = "can_view")]
    View,
    /// Change.
    #[serde(rename = "can_edit")]
    Edit,
    /// Create.
    #[serde(rename = "can_create")]
    Create,
    /// Delete.
    #[serde(rename = "can_delete")]
    Delete,
}

impl Entitlement {
    /// Every entitlement.
    pub const ALL: [Self; 4] = [Self::View, Self::Edit, Self::Create, Self::Delete];

    /// Its name, as authorization models write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::View => "can_view",
            Self::Edit => "can_edit",
            Self::Create => "can_create",
            Self::Delete => "can_delete",
        }
    }
}

impl std::fmt::Display for Entitlement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The object that entitlements are about.
pub const OBJECT: &str = "server:operations-center";

/// A role; each includes the ones below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads.
    User,
    /// Reads and changes.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// Every role, from the least.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::User, Self::Operator, Self::Admin];

    /// Whether the role has the entitlement.
    pub const fn grants(self, entitlement: Entitlement) -> bool {
        match entitlement {
            Entitlement::View => true,
            Entitlement::Edit => matches!(self, Self::Operator | Self::Admin),
            Entitlement::Create | Entitlement::Delete => matches!(self, Self::Admin),
        }
    }
}

/// What a call asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Nothing.
    Open,
    /// A registration token, or else the entitlement to create.
    Registration,
    /// The certificate of a registered machine, or the unix socket.
    SelfUpdate,
    /// The unix socket.
    UnixOnly,
    /// An entitlement.
    Entitled(Entitlement),
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Nobody known: no certificate, or one that is not trusted.
    Anonymous,
    /// Over the unix socket.
    Unix,
    /// With a trusted client certificate.
    Tls,
    /// Logged in through OIDC.
    Oidc,
}

/// What else a caller brought along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Credentials {
    /// A registration token, checked later.
    pub token: bool,
    /// The certificate of a registered machine. It is no credential for anything but reporting about itself.
    pub machine: bool,
}

/// A call that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody knows who calls: 401.
    #[error("not authenticated")]
    Unauthenticated,
    /// The caller is known, or has to be a machine, and may not: 403.
    #[error("no machine registered with this certificate")]
    NoMachine,
    /// Only the unix socket will do: 403.
    #[error("only allowed over the unix socket")]
    NotUnix,
    /// A token is needed: 403 (`servers.md` 17, 4).
    #[error("a registration token or the entitlement to create is needed")]
    NoToken,
    /// The entitlement is missing: 403.
    #[error("entitlement {0:?} on object {object:?} is missing", object = OBJECT)]
    Missing(&'static str),
}

/// Whether a call is allowed. `entitled` answers for OIDC callers only; callers over the unix socket and with a
/// trusted certificate have every entitlement.
pub fn check(
    access: Access,
    caller: Caller,
    credentials: Credentials,
    entitled: impl Fn(Entitlement) -> bool,
) -> Result<(), Denied> {
    let has = |entitlement| match caller {
        Caller::Unix | Caller::Tls => Ok(()),
        Caller::Oidc if entitled(entitlement) => Ok(()),
        Caller::Oidc => Err(Denied::Missing(entitlement.as_str())),
        Caller::Anonymous => Err(Denied::Unauthenticated),
    };
    match access {
        Access::Open => Ok(()),
        Access::Registration if credentials.token => Ok(()),
        Access::Registration if caller == Caller::Anonymous => Err(Denied::NoToken),
        Access::Registration => has(Entitlement::Create),
        Access::SelfUpdate if credentials.machine || caller == Caller::Unix => Ok(()),
        Access::SelfUpdate => Err(Denied::NoMachine),
        Access::UnixOnly if caller == Caller::Unix => Ok(()),
        Access::UnixOnly => Err(Denied::NotUnix),
        Access::Entitled(entitlement) => has(entitlement),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_grant_what_the_contract_says() {
        let granted = |role: Role| Entitlement::ALL.into_iter().filter(|e| role.grants(*e)).collect::<Vec<_>>();
        assert_eq!(granted(Role::Admin), Entitlement::ALL);
        assert_eq!(granted(Role::Operator), [Entitlement::View, Entitlement::Edit]);
        assert_eq!(granted(Role::User), [Entitlement::View]);
        assert_eq!(granted(Role::Viewer), [Entitlement::View]);
    }

    #[test]
    fn each_access_asks_for_its_own() {
        use Access::*;
        let none = Credentials::default();
        let token = Credentials { token: true, ..none };
        let machine = Credentials { machine: true, ..none };
        let view = |e| e == Entitlement::View;
        let missing = |e: Entitlement| Err(Denied::Missing(e.as_str()));
        for (access, caller, credentials, expected) in [
            (Open, Caller::Anonymous, none, Ok(())),
            (Registration, Caller::Anonymous, token, Ok(())),
            (Registration, Caller::Anonymous, none, Err(Denied::NoToken)),
            (Registration, Caller::Anonymous, machine, Err(Denied::NoToken)),
            (Registration, Caller::Tls, none, Ok(())),
            (Registration, Caller::Oidc, none, missing(Entitlement::Create)),
            (SelfUpdate, Caller::Anonymous, machine, Ok(())),
            (SelfUpdate, Caller::Unix, none, Ok(())),
            (SelfUpdate, Caller::Tls, none, Err(Denied::NoMachine)),
            (SelfUpdate, Caller::Oidc, token, Err(Denied::NoMachine)),
            (UnixOnly, Caller::Unix, none, Ok(())),
            (UnixOnly, Caller::Tls, machine, Err(Denied::NotUnix)),
            (Entitled(Entitlement::View), Caller::Oidc, none, Ok(())),
            (Entitled(Entitlement::Edit), Caller::Oidc, none, missing(Entitlement::Edit)),
            (Entitled(Entitlement::Delete), Caller::Unix, none, Ok(())),
            (Entitled(Entitlement::Delete), Caller::Tls, none, Ok(())),
            (Entitled(Entitlement::View), Caller::Anonymous, machine, Err(Denied::Unauthenticated)),
            (Entitled(Entitlement::View), Caller::Anonymous, token, Err(Denied::Unauthenticated)),
        ] {
            assert_eq!(check(access, caller, credentials, view), expected, "{access:?} {caller:?} {credentials:?}");
        }
    }

    #[test]
    fn a_refusal_names_entitlement_and_object() {
        let text = Denied::Missing(Entitlement::Edit.as_str()).to_string();
        assert_eq!(text, "entitlement \"can_edit\" on object \"server:operations-center\" is missing");
    }
}
