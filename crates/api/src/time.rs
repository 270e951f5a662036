//! Time on the wire: RFC 3339, with year 1 for "never" as the reference writes it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant. `Time::NEVER` is `0001-01-01T00:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub jiff::Timestamp);

impl Time {
    /// The zero time of the wire, in microseconds since the epoch.
    pub const NEVER_MICROS: i64 = -62_135_596_800_000_000;

    /// "Never": year 1.
    pub fn never() -> Self {
        Self::from_micros(Self::NEVER_MICROS)
    }

    /// From microseconds since the epoch, as stored; out of range counts as never.
    pub fn from_micros(micros: i64) -> Self {
        Self(jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MIN))
    }

    /// Microseconds since the epoch.
    pub fn micros(self) -> i64 {
        self.0.as_microsecond()
    }
}

impl Default for Time {
    fn default() -> Self {
        Self::never()
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map(Self).map_err(|e| serde::de::Error::custom(format!("{text:?} is no RFC 3339 time: {e}")))
    }
}

/// A time that must come back exactly as it was sent, offset and nanoseconds included (`servers.md` 17, 34).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeText {
    text: String,
    at: jiff::Timestamp,
}

impl TimeText {
    /// The text as sent.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The instant it means.
    pub fn at(&self) -> Time {
        Time(self.at)
    }
}

impl Default for TimeText {
    fn default() -> Self {
        Time::never().into()
    }
}

impl From<Time> for TimeText {
    fn from(t: Time) -> Self {
        Self { text: t.to_string(), at: t.0 }
    }
}

impl std::str::FromStr for TimeText {
    type Err = jiff::Error;
    fn from_str(s: &str) -> Result<Self, jiff::Error> {
        Ok(Self { at: s.parse()?, text: s.to_owned() })
    }
}

impl Serialize for TimeText {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for TimeText {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(|e| serde::de::Error::custom(format!("{text:?} is no RFC 3339 time: {e}")))
    }
}
