//! What a worker asks of a packet device: bursts in, bursts out, buffers.
