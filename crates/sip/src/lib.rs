//! SIP messages and transactions without I/O (RFC 3261).
