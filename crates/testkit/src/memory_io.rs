use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tandem_packet_io::{Burst, Capabilities, NoRoom, PacketBuf, PacketIo, RxChecksum};
use tandem_wire::{ipv6, udp};

/// Octets of storage per buffer, as a DPDK mbuf has by default: headroom and room for a frame.
const ROOM: usize = HEADROOM + 2048;
const HEADROOM: usize = 128;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A fixed number of buffers. Clones share them.
#[derive(Clone, Debug)]
#[allow(clippy::vec_box, reason = "buffers are handed around by their boxes and keep their place")]
pub struct Pool {
    #[expect(clippy::vec_box, reason = "buffers move by their address")]
    free: Arc<Mutex<Vec<Box<Storage>>>>,
    size: usize,
}

impl Pool {
    /// A pool of `size` buffers.
    pub fn new(size: usize) -> Self {
        let free = (0..size).map(|_| Box::new(Storage::EMPTY)).collect();
        Self { free: Arc::new(Mutex::new(free)), size }
    }

    /// An empty buffer, `None` when all are in use.
    pub fn allocate(&self) -> Option<MemoryBuf> {
        let mut storage = lock(&self.free).pop()?;
        (storage.start, storage.end) = (HEADROOM, HEADROOM);
        (storage.rx_checksum, storage.checksum_request) = (RxChecksum::UNKNOWN, None);
        storage.pool = Some(self.clone());
        Some(MemoryBuf(Some(storage)))
    }

    /// A buffer that holds `frame`, `None` when all are in use.
    ///
    /// # Panics
    /// When the frame is longer than a buffer: the test is wrong.
    pub fn frame(&self, frame: &[u8]) -> Option<MemoryBuf> {
        let mut buf = self.allocate()?;
        buf.refill(frame);
        Some(buf)
    }

    /// Buffers in use: 0 after everything was dropped, or something leaks.
    pub fn in_use(&self) -> usize {
        self.size - lock(&self.free).len()
    }
}

#[derive(Debug)]
struct Storage {
    octets: [u8; ROOM],
    start: usize,
    end: usize,
    rx_checksum: RxChecksum,
    checksum_request: Option<(usize, usize)>,
    /// Where it goes back to; `None` while it is there.
    pool: Option<Pool>,
}

impl Storage {
    const EMPTY: Self = Self {
        octets: [0; ROOM],
        start: HEADROOM,
        end: HEADROOM,
        rx_checksum: RxChecksum::UNKNOWN,
        checksum_request: None,
        pool: None,
    };
}

/// A packet buffer on the heap that goes back to its pool. It is as small as a pointer, as an mbuf is to its holder.
#[derive(Debug)]
pub struct MemoryBuf(Option<Box<Storage>>);

impl MemoryBuf {
    fn storage(&self) -> &Storage {
        self.0.as_ref().expect("there until it is dropped")
    }

    fn storage_mut(&mut self) -> &mut Storage {
        self.0.as_mut().expect("there until it is dropped")
    }

    /// Makes this a freshly received `frame`, without a way through the pool.
    ///
    /// # Panics
    /// When the frame is longer than a buffer: the test is wrong.
    pub fn refill(&mut self, frame: &[u8]) {
        let storage = self.storage_mut();
        (storage.start, storage.end, storage.checksum_request) = (HEADROOM, HEADROOM, None);
        assert!(self.set_len(frame.len()).is_ok(), "a frame of {} octets fits no buffer", frame.len());
        self.data_mut().copy_from_slice(frame);
    }

    /// Lets the device have found this out about the frame.
    pub fn set_rx_checksum(&mut self, verdict: RxChecksum) {
        self.storage_mut().rx_checksum = verdict;
    }

    /// What the device does on sending: fills in the checksums that were asked for.
    fn finish(&mut self) {
        let Some((l2_len, l3_len)) = self.storage_mut().checksum_request.take() else {
            return;
        };
        let (_, packet) = self.data_mut().split_at_mut(l2_len);
        let (header, datagram) = packet.split_at_mut(l3_len);
        let (source, destination): (IpAddr, IpAddr) = if header[0] >> 4 == 6 {
            assert_eq!(l3_len, ipv6::HEADER_LEN);
            let address = |at| Ipv6Addr::from(*header[at..].first_chunk::<16>().expect("a whole header"));
            (address(8).into(), address(24).into())
        } else {
            header[10..12].fill(0);
            let checksum = tandem_wire::checksum::Sum::of(header).checksum();
            header[10..12].copy_from_slice(&checksum);
            let address = |at| Ipv4Addr::from(*header[at..].first_chunk::<4>().expect("a whole header"));
            assert_eq!(usize::from(header[0] & 15) * 4, l3_len);
            (address(12).into(), address(16).into())
        };
        datagram[6..8].fill(0);
        let checksum = udp::checksum_of(source, destination, datagram);
        datagram[6..8].copy_from_slice(&checksum);
    }
}

impl Drop for MemoryBuf {
    fn drop(&mut self) {
        if let Some(mut storage) = self.0.take()
            && let Some(pool) = storage.pool.take()
        {
            lock(&pool.free).push(storage);
        }
    }
}

impl PacketBuf for MemoryBuf {
    fn data(&self) -> &[u8] {
        let storage = self.storage();
        &storage.octets[storage.start..storage.end]
    }

    fn data_mut(&mut self) -> &mut [u8] {
        let storage = self.storage_mut();
        &mut storage.octets[storage.start..storage.end]
    }

    fn len(&self) -> usize {
        let storage = self.storage();
        storage.end - storage.start
    }

    fn headroom(&self) -> usize {
        self.storage().start
    }

    fn tailroom(&self) -> usize {
        ROOM - self.storage().end
    }

    fn set_len(&mut self, len: usize) -> Result<(), NoRoom> {
        let storage = self.storage_mut();
        let available = ROOM - storage.start;
        if len > available {
            return Err(NoRoom { wanted: len, available });
        }
        storage.end = storage.start + len;
        Ok(())
    }

    fn prepend(&mut self, len: usize) -> Result<(), NoRoom> {
        let storage = self.storage_mut();
        storage.start = storage.start.checked_sub(len).ok_or(NoRoom { wanted: len, available: storage.start })?;
        Ok(())
    }

    fn advance(&mut self, len: usize) -> Result<(), NoRoom> {
        let available = self.len();
        if len > available {
            return Err(NoRoom { wanted: len, available });
        }
        self.storage_mut().start += len;
        Ok(())
    }

    fn rx_checksum(&self) -> RxChecksum {
        self.storage().rx_checksum
    }

    fn request_ip_udp_checksum(&mut self, l2_len: usize, l3_len: usize) {
        self.storage_mut().checksum_request = Some((l2_len, l3_len));
    }
}

#[derive(Debug, Default)]
struct Queues {
    to_device: VecDeque<MemoryBuf>,
    from_device: VecDeque<MemoryBuf>,
    /// Frames the device still takes before its send queue is full.
    send_room: usize,
}

/// The other end of a [`MemoryIo`]: what a test puts in, the device receives. Clones are the same cable.
#[derive(Clone, Debug)]
pub struct Cable {
    queues: Arc<Mutex<Queues>>,
    pool: Pool,
}

impl Cable {
    /// Puts a frame on the device's receive queue.
    ///
    /// # Panics
    /// When the pool is exhausted: the test must size it for what it has under way.
    pub fn put(&self, frame: &[u8]) {
        let buf = self.pool.frame(frame).expect("a buffer is free");
        self.put_buf(buf);
    }

    /// Puts a buffer on the device's receive queue.
    pub fn put_buf(&self, buf: MemoryBuf) {
        lock(&self.queues).to_device.push_back(buf);
    }

    /// The oldest frame that the device has sent.
    pub fn take(&self) -> Option<Vec<u8>> {
        self.take_buf().map(|buf| buf.data().to_vec())
    }

    /// The same, in its buffer.
    pub fn take_buf(&self) -> Option<MemoryBuf> {
        lock(&self.queues).from_device.pop_front()
    }

    /// Frames the device has not received yet.
    pub fn waiting(&self) -> usize {
        lock(&self.queues).to_device.len()
    }

    /// Lets the send queue take so many more frames, then be full.
    pub fn set_send_room(&self, frames: usize) {
        lock(&self.queues).send_room = frames;
    }

    /// The pool that both ends use.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }
}

/// A packet device in memory.
#[derive(Debug)]
pub struct MemoryIo {
    cable: Cable,
    capabilities: Capabilities,
}

impl MemoryIo {
    /// A device and the cable that leads to it. Queues are as long as the pool is large and do not allocate.
    pub fn new(capabilities: Capabilities, pool: &Pool) -> (Self, Cable) {
        let queues = Queues {
            to_device: VecDeque::with_capacity(pool.size),
            from_device: VecDeque::with_capacity(pool.size),
            send_room: usize::MAX,
        };
        let cable = Cable { queues: Arc::new(Mutex::new(queues)), pool: pool.clone() };
        (Self { cable: cable.clone(), capabilities }, cable)
    }
}

impl PacketIo for MemoryIo {
    type Buf = MemoryBuf;

    fn rx_burst(&mut self, into: &mut Burst<MemoryBuf>) {
        let mut queues = lock(&self.cable.queues);
        let room = into.remaining_capacity().min(queues.to_device.len());
        into.extend(queues.to_device.drain(..room));
    }

    fn tx_burst(&mut self, from: &mut Burst<MemoryBuf>) {
        let mut queues = lock(&self.cable.queues);
        let taken = from.len().min(queues.send_room);
        queues.send_room = queues.send_room.saturating_sub(if queues.send_room == usize::MAX { 0 } else { taken });
        for mut buf in from.drain(..taken) {
            if self.capabilities.tx_ip_udp_checksum {
                buf.finish();
            }
            queues.from_device.push_back(buf);
        }
    }

    fn allocate(&mut self) -> Option<MemoryBuf> {
        self.cable.pool.allocate()
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }
}
