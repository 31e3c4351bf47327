//! Rings between the workers of one port, for packets that the device gave to the wrong core.

use std::net::IpAddr;

use rtrb::{Consumer, Producer, RingBuffer};
use tandem_contract::Nanos;
use tandem_wire::ethernet::MacAddress;

/// What one worker gives another.
#[derive(Debug)]
pub enum Handover<B> {
    /// A frame of a flow that the other owns.
    Frame {
        /// The frame.
        frame: B,
        /// When it was received.
        received_at: Nanos,
    },
    /// A neighbour's hardware address.
    Neighbour {
        /// Whose.
        address: IpAddr,
        /// The port that it was heard on, if that is known.
        port: Option<u8>,
        /// The hardware address.
        mac: MacAddress,
    },
}

/// The giving end of one ring.
pub(crate) type ToWorker<B> = Producer<Handover<B>>;

/// One worker's ends of the rings to and from all others.
#[derive(Debug)]
pub struct HandoverEnds<B> {
    /// By the other worker's number; `None` at its own.
    pub(crate) to: Box<[Option<ToWorker<B>>]>,
    pub(crate) from: Box<[Consumer<Handover<B>>]>,
}

impl<B> HandoverEnds<B> {
    /// The ends of a worker that is alone on its port.
    pub fn alone() -> Self {
        Self { to: Box::new([None]), from: Box::new([]) }
    }
}

/// Rings of `capacity` entries from each of `workers` workers to each other; the ends in order of the workers' numbers.
pub fn mesh<B>(workers: u16, capacity: usize) -> Vec<HandoverEnds<B>> {
    let workers = usize::from(workers);
    let mut from: Vec<Vec<Consumer<Handover<B>>>> = (0..workers).map(|_| Vec::new()).collect();
    let mut to = Vec::with_capacity(workers);
    for giver in 0..workers {
        let ends = (0..workers).map(|taker| {
            (giver != taker).then(|| {
                let (producer, consumer) = RingBuffer::new(capacity);
                from[taker].push(consumer);
                producer
            })
        });
        to.push(ends.collect());
    }
    to.into_iter().zip(from).map(|(to, from)| HandoverEnds { to, from: from.into_boxed_slice() }).collect()
}
