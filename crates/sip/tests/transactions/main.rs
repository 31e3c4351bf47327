//! The transaction layer under a virtual clock.

mod endpoint;
mod matching;
mod sequences;
mod table;
mod timing;
