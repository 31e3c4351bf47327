//! The transaction layer under a virtual clock.

mod endpoint;
mod matching;
mod table;
mod timing;
