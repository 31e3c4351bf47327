//! The slow path's shell: sockets, timers, HTTP API, metrics, records.
