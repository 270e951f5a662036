//! Every place that holds sealed text. Sealing and opening need a [`Place`], so that a secret cannot be stored anywhere
//! else: what is not listed here cannot be sealed, and what is listed here follows a change of the site key.

use crate::db::Tx;
use crate::error::Result;
use crate::rekey;
use crate::seal::{SealError, Secret};

macro_rules! places {
    ($($(#[$doc:meta])* $name:ident: $table:literal [$($key:literal),+] $column:literal => $context:literal;)+) => {
        /// A column that holds sealed text, or NULL.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Place {
            $($(#[$doc])* $name,)+
        }

        impl Place {
            /// All of them.
            pub(crate) const ALL: &[Place] = &[$(Place::$name,)+];

            /// Where it is in the schema.
            pub(crate) fn column(self) -> Column {
                match self {
                    $(Place::$name => Column { table: $table, key: &[$($key,)+], column: $column, context: $context },)+
                }
            }
        }
    };
}

/// A place in the schema.
pub(crate) struct Column {
    pub(crate) table: &'static str,
    /// The primary key.
    pub(crate) key: &'static [&'static str],
    pub(crate) column: &'static str,
    /// What the sealed text is bound to; each `{}` is a part of the key.
    context: &'static str,
}

places! {
    /// Proves that a key ring belongs to the database, and names the key in use.
    KeyCheck: "key_check" ["name"] "sealed" => "key_check/{}";
    /// A section of the settings.
    Settings: "settings" ["section"] "document" => "settings/{}";
    /// Private key of one of the center's certificates.
    IdentityKey: "identity" ["name"] "sealed_key" => "identity/{}";
    /// Seed configuration of a token.
    TokenSeeds: "token_seeds" ["token", "name"] "seeds" => "tokens/{}/seeds/{}";
    /// Password of a server's BMC.
    BmcPassword: "servers" ["id"] "bmc_password" => "servers/{}/bmc_password";
    /// What is masked in a server's documents.
    OsSecrets: "servers" ["id"] "os_secrets" => "servers/{}/os_secrets";
    /// Documents that an operation pushes.
    OperationDocuments: "operations" ["id"] "documents" => "operations/{}/documents";
    /// Password of a machine's BMC.
    MachineBmcPassword: "machines" ["id"] "bmc_password" => "machines/{}/bmc_password";
    /// Password of the BMC of a machine that is on its way.
    ExpectedBmcPassword: "expected_machines" ["id"] "bmc_password" => "expected_machines/{}/bmc_password";
    /// Seed configuration of an image that was asked for.
    PreparedImageSeeds: "prepared_images" ["id"] "seeds" => "prepared_images/{}/seeds";
}

impl Place {
    /// What a text sealed for this row is bound to.
    pub(crate) fn context(self, key: &[impl AsRef<str>]) -> String {
        let mut parts = self.column().context.split("{}");
        let mut context = parts.next().unwrap_or_default().to_owned();
        for (part, key) in parts.zip(key) {
            context.push_str(key.as_ref());
            context.push_str(part);
        }
        context
    }
}

impl Tx<'_> {
    /// Seals a secret for a row of a place, with the key that the database uses: another process may have changed it.
    pub(crate) fn seal(&mut self, place: Place, key: &[&str], secret: &Secret) -> Result<String> {
        let used = rekey::in_use(self)?;
        Ok(self.keys().seal(used.as_deref(), &place.context(key), secret.expose().as_bytes())?)
    }

    /// Opens what was sealed for a row of a place.
    pub(crate) fn unseal(&self, place: Place, key: &[&str], sealed: &str) -> Result<Secret> {
        let context = place.context(key);
        let plain = self.keys().open(&context, sealed)?;
        let text = String::from_utf8(plain).map_err(|_| SealError::Malformed { context })?;
        Ok(Secret::new(text))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::tables::sql;
    use crate::testing::{TestStore, fill_secrets, stores};

    #[test]
    fn contexts_name_the_row() {
        assert_eq!(Place::Settings.context(&["security"]), "settings/security");
        assert_eq!(Place::TokenSeeds.context(&["t", "s"]), "tokens/t/seeds/s");
        assert_eq!(Place::OsSecrets.context(&["a"]), "servers/a/os_secrets");
        for place in Place::ALL {
            let column = place.column();
            assert_eq!(column.context.matches("{}").count(), column.key.len(), "{place:?}");
        }
    }

    /// Columns of the whole database in which a text has a sealed text in it, alone or inside of a document.
    fn sealed_columns(tx: &mut Tx) -> Result<BTreeSet<String>> {
        let id = tx.keys().current_id();
        let mut found = BTreeSet::new();
        for table in sql::table_names(tx)? {
            let outcome = tx.raw(&format!("SELECT * FROM {table}"), false)?;
            for row in &outcome.rows {
                let sealed = outcome
                    .columns
                    .iter()
                    .zip(row)
                    .filter(|(_, value)| value.to_string().contains(&format!("v1.{id}.")));
                found.extend(sealed.map(|(column, _)| format!("{table}.{column}")));
            }
        }
        Ok(found)
    }

    #[test]
    fn nothing_is_sealed_outside_of_the_places_and_the_tests_fill_each() {
        stores(|TestStore { store, .. }| {
            store.write_blocking(fill_secrets).unwrap();
            let name = |place: &Place| format!("{}.{}", place.column().table, place.column().column);
            let places: BTreeSet<String> = Place::ALL.iter().map(name).collect();
            assert_eq!(store.read_blocking(sealed_columns).unwrap(), places);
        });
    }
}
