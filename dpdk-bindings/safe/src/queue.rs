//! One receive and one send queue of a port, for one worker.

use std::sync::Arc;

use dpdk_sys as c;
use tandem_packet_io::{Burst, Capabilities, PacketIo};

use crate::mbuf::Mbuf;
use crate::mempool::Mempool;
use crate::port::Started;

/// A receive queue. Its owner is the only one who polls it.
#[derive(Debug)]
pub struct RxQueue {
    port: Arc<Started>,
    queue: u16,
    segmented: u64,
}

/// A send queue. Its owner is the only one who fills it.
#[derive(Debug)]
pub struct TxQueue {
    port: Arc<Started>,
    queue: u16,
}

/// The receive queue and the send queue of the same number, and the pool to make packets from: what a worker polls.
#[derive(Debug)]
pub struct QueuePair {
    rx: RxQueue,
    tx: TxQueue,
    mempool: Mempool,
}

impl RxQueue {
    /// Appends packets that have arrived to `into`, no more than it has room for: `rte_eth_rx_burst`.
    ///
    /// A packet spread over several mbufs is larger than the port's MTU allows: it is dropped and counted ([`segmented`](Self::segmented)).
    #[inline]
    pub fn burst(&mut self, into: &mut Burst<Mbuf>) {
        let at = into.len();
        let room = into.capacity() - at;
        // SAFETY: `at` is not behind the end of the burst's array.
        let first = unsafe { into.as_mut_ptr().add(at) };
        // SAFETY: the port is started for as long as `self.port` is there, the queue was set up, and `&mut self` is its only poller; `first` has room
        // for `room` pointers, and an `Mbuf` is one.
        let received = unsafe { c::rte_eth_rx_burst(self.port.id(), self.queue, first.cast(), room as u16) };
        // SAFETY: the driver has written `received` mbufs and given up its hold on them. Those of several segments do not live past this function.
        unsafe { into.set_len(at + usize::from(received)) };
        let mut whole = true;
        for mbuf in &into[at..] {
            mbuf.prefetch();
            whole &= mbuf.segments() == 1;
        }
        if !whole {
            self.drop_segmented(into);
        }
    }

    /// Packets dropped for being spread over several mbufs.
    #[must_use]
    pub fn segmented(&self) -> u64 {
        self.segmented
    }

    #[cold]
    fn drop_segmented(&mut self, into: &mut Burst<Mbuf>) {
        let before = into.len();
        into.retain(|mbuf| mbuf.segments() == 1);
        self.segmented += (before - into.len()) as u64;
    }
}

impl TxQueue {
    /// Sends packets from the front of `from`: `rte_eth_tx_burst`. What stays in `from` was not sent.
    #[inline]
    pub fn burst(&mut self, from: &mut Burst<Mbuf>) {
        let first = from.as_mut_ptr().cast();
        let mut count = from.len() as u16;
        if self.port.capabilities().tx_ip_udp_checksum {
            // Some drivers want to see packets with checksum requests before they are sent. Most have nothing to do here.
            // SAFETY: as for rte_eth_tx_burst below; preparing changes headers and flags, not who holds the mbuf.
            count = unsafe { c::rte_eth_tx_prepare(self.port.id(), self.queue, first, count) };
        }
        // SAFETY: the port is started for as long as `self.port` is there, the queue was set up, and `&mut self` is its only user; `first` is an array of
        // at least `count` mbufs.
        let sent = unsafe { c::rte_eth_tx_burst(self.port.id(), self.queue, first, count) };
        // SAFETY: the driver has taken the first `sent` over, and frees them when they are out.
        unsafe { forget_front(from, usize::from(sent)) };
    }
}

impl QueuePair {
    pub(crate) fn new(port: &Arc<Started>, queue: u16, mempool: &Mempool) -> Self {
        Self {
            rx: RxQueue { port: Arc::clone(port), queue, segmented: 0 },
            tx: TxQueue { port: Arc::clone(port), queue },
            mempool: mempool.clone(),
        }
    }

    /// The queues' number, beginning with 0.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.rx.queue
    }

    /// The receive queue.
    #[must_use]
    pub fn rx(&self) -> &RxQueue {
        &self.rx
    }

    /// The pool it receives into and allocates from.
    #[must_use]
    pub fn mempool(&self) -> &Mempool {
        &self.mempool
    }

    /// The two queues, to be used by two threads.
    #[must_use]
    pub fn split(self) -> (RxQueue, TxQueue) {
        (self.rx, self.tx)
    }
}

impl PacketIo for QueuePair {
    type Buf = Mbuf;

    #[inline]
    fn rx_burst(&mut self, into: &mut Burst<Mbuf>) {
        self.rx.burst(into);
    }

    #[inline]
    fn tx_burst(&mut self, from: &mut Burst<Mbuf>) {
        self.tx.burst(from);
    }

    #[inline]
    fn allocate(&mut self) -> Option<Mbuf> {
        self.mempool.allocate()
    }

    fn capabilities(&self) -> Capabilities {
        *self.tx.port.capabilities()
    }
}

/// Takes the first `taken` mbufs out of a burst without dropping them.
///
/// # Safety
/// `taken` is not more than there are, and somebody else holds those now.
#[inline(always)]
pub(crate) unsafe fn forget_front(burst: &mut Burst<Mbuf>, taken: usize) {
    let rest = burst.len() - taken;
    // SAFETY: none is left while they are moved; the array stays initialised up to the old length.
    unsafe { burst.set_len(0) };
    if rest > 0 {
        let start = burst.as_mut_ptr();
        // SAFETY: `taken` is within the old length.
        let first_left = unsafe { start.add(taken) };
        // SAFETY: both ranges lie within the old length; `copy` allows them to overlap; what is overwritten belongs to others now.
        unsafe { std::ptr::copy(first_left, start, rest) };
        // SAFETY: the first `rest` are the ones left.
        unsafe { burst.set_len(rest) };
    }
}
