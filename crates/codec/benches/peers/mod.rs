//! Other people's codecs, loaded at run time when they are installed: never linked, never shipped.

pub(crate) mod bcg729;
