//! Raw bindings to libdpdk 22.11 to 24.11.
