//! Typed views of header values: they borrow the text and check it once, when they are made.

mod list;
mod media_type;
mod name_addr;
mod params;
mod simple;
mod via;

pub use list::Elements;
pub use media_type::MediaType;
pub use name_addr::{Contact, NameAddr, write_name_addr};
pub use params::{Param, Params};
pub use simple::{CSeq, Reason, RetryAfter, delta_seconds};
pub use via::Via;
