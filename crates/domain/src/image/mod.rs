//! What an installation image is told beforehand: the seed archive that is spliced into it (`servers.md` 12.3-12.5).
//!
//! - [`documents`] the nine documents, with the center's part and the defaults
//! - [`ustar`] the archive around them, byte for byte as machines read it
//! - [`layout`] where in an image it lies
//! - [`check`] what the machine would refuse, found when a seed is saved

pub mod check;
pub mod documents;
pub mod layout;
pub mod ustar;
mod yaml;

pub use documents::{Given, TooLarge, archive};
pub use layout::Layout;
