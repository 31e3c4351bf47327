//! Test doubles: virtual clock, in-memory packet device, allocation counter.
