//! The source on the kernel's UDP sockets: a packet device that puts Ethernet and IP headers around what sockets carry.
//!
//! Legs share a few sockets and are told apart by where they come from, since no two legs of a gateway share a port. To the engine every leg
//! has an address of its own all the same, the planned one, which never leaves the process.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;

use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg as _;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};
use tandem_codec::Level;
use tandem_contract::Nanos;
use tandem_loadgen::{
    Engine, EnginePort, LoadError, LoadOutcome, LoadRunner, LoadSpec, Plan, PlannedCall, Progress, RemoteLeg, drive,
};
use tandem_packet_io::{BURST_CAPACITY, Burst, Capabilities, NoRoom, PacketBuf, PacketIo, RxChecksum};
use tandem_wire::ethernet::MacAddress;
use tandem_worker::{Clock, TscClock};

use super::set_up::SetUp;
use super::source::{SourceArgs, network, on_a_thread_of_its_own};

/// Sockets that legs share, on each address.
const SOCKETS_PER_ADDRESS: usize = 4;
/// Legs in a row that share one: what they send in one burst goes to the kernel in one call.
const LEGS_IN_A_ROW: usize = BURST_CAPACITY;
/// Octets of Ethernet, IPv4 and UDP headers.
const HEADERS: usize = 14 + 20 + 8;
/// Octets of the longest frame.
const ROOM: usize = 1_514;
/// What each socket is asked to keep, in octets; the kernel's `net.core.rmem_max` bounds it.
const RECEIVE_BUFFER: usize = 8 << 20;

/// The source: sockets are opened for each run.
pub(super) struct KernelSource {
    arguments: SourceArgs,
}

pub(super) fn open(arguments: &SourceArgs) -> anyhow::Result<KernelSource> {
    for cidr in &arguments.addresses {
        UdpSocket::bind((cidr.address, 0)).map_err(|error| {
            anyhow::anyhow!("--addresses: {} cannot be bound ({error}): the machine must have it", cidr.address)
        })?;
    }
    let _ = TscClock::new();
    Ok(KernelSource { arguments: arguments.clone() })
}

impl LoadRunner for KernelSource {
    fn run(
        &mut self,
        spec: &LoadSpec,
        progress: &mut dyn FnMut(Progress),
        stop: &AtomicBool,
    ) -> Result<LoadOutcome, LoadError> {
        let network = network(&self.arguments);
        let plan = Plan::new(spec, &network)?;
        let port_error = |error: io::Error| LoadError::Port(error.to_string());
        let mut io = KernelIo::open(&network.addresses).map_err(port_error)?;
        let calls: Vec<PlannedCall> = plan.calls().collect();
        let told: Vec<PlannedCall> =
            calls.iter().map(|call| PlannedCall { local: call.local.map(|leg| io.adopt(leg)), ..*call }).collect();
        let mut set_up = SetUp::new(&self.arguments)?;
        let remotes = set_up.install(&told)?;
        io.connect(&calls, &remotes);
        let port = EnginePort {
            mac: MacAddress(io.capabilities().mac),
            macs: HashMap::new(),
            // The kernel counts what it drops.
            receive_room: u32::MAX,
            lateness_ns: 1_000 * u64::from(self.arguments.lateness_us),
        };
        let mut engine = Engine::new(Level::detect(), &plan, &remotes, port)?;
        let (core, throttle_ns) = (self.arguments.core, self.arguments.throttle_ns);
        let send = |seconds: mpsc::Sender<Progress>| {
            pin(core).map_err(port_error)?;
            let overruns = receive_overruns();
            let mut tsc = TscClock::new();
            let mut clock = || -> Nanos { tsc.now() };
            let mut tell = |second| {
                // Nobody listens any more when the run was given up.
                let _ = seconds.send(second);
            };
            drive(&mut engine, &mut io, &mut clock, throttle_ns, &mut tell, stop);
            Ok(engine.outcome(clock(), receive_overruns().saturating_sub(overruns)))
        };
        let outcome = set_up.during(|| on_a_thread_of_its_own(progress, send))?;
        set_up.remove()?;
        Ok(LoadOutcome { set_up_added: set_up.added(), ..outcome })
    }
}

fn pin(core: u16) -> io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core.into());
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Datagrams that the kernel dropped since its start because a socket of this network namespace was full.
fn receive_overruns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap_or_default();
    let mut lines = text.lines().filter(|line| line.starts_with("Udp:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return 0 };
    let found = names.split_whitespace().zip(values.split_whitespace()).find(|(name, _)| *name == "RcvbufErrors");
    found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

/// A packet device over sockets.
struct KernelIo {
    sockets: Vec<UdpSocket>,
    /// The socket of each planned leg, in the order in which they were adopted.
    socket_of: HashMap<SocketAddrV4, u16>,
    /// The planned leg that hears whom on which socket.
    heard: HashMap<(u16, SocketAddrV4), SocketAddrV4>,
    /// The socket that is read next.
    next: usize,
    #[expect(clippy::vec_box, reason = "frames move by their address")]
    spare: Vec<Box<[u8; ROOM]>>,
    returned: mpsc::Receiver<Box<[u8; ROOM]>>,
    give_back: mpsc::Sender<Box<[u8; ROOM]>>,
}

impl KernelIo {
    fn open(addresses: &[Ipv4Addr]) -> io::Result<Self> {
        let mut sockets = Vec::new();
        for address in addresses {
            for _ in 0..SOCKETS_PER_ADDRESS {
                let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
                socket.bind(&SocketAddr::from((*address, 0)).into())?;
                socket.set_nonblocking(true)?;
                // As large as the kernel allows.
                let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
                sockets.push(socket.into());
            }
        }
        let (give_back, returned) = mpsc::channel();
        let (socket_of, heard) = (HashMap::new(), HashMap::new());
        Ok(Self { sockets, socket_of, heard, next: 0, spare: Vec::new(), returned, give_back })
    }

    /// Gives a planned leg a socket; the socket's address.
    fn adopt(&mut self, leg: SocketAddrV4) -> SocketAddrV4 {
        let index = self.socket_of.len() / LEGS_IN_A_ROW % self.sockets.len();
        self.socket_of.insert(leg, index as u16);
        match self.sockets[index].local_addr() {
            Ok(SocketAddr::V4(local)) => local,
            _ => leg,
        }
    }

    fn connect(&mut self, calls: &[PlannedCall], remotes: &[[RemoteLeg; 2]]) {
        let legs = calls.iter().flat_map(|call| call.local).zip(remotes.iter().flatten());
        for (leg, remote) in legs {
            if let Some(socket) = self.socket_of.get(&leg) {
                self.heard.insert((*socket, remote.address), leg);
            }
        }
    }

    /// The socket that a frame leaves by, and where it goes; none for what no leg sends.
    fn way(&self, frame: &[u8]) -> Option<(u16, SocketAddrV4)> {
        let headers = frame.first_chunk::<HEADERS>()?;
        let end = |address: usize, port: usize| {
            let [a, b, c, d] = [headers[address], headers[address + 1], headers[address + 2], headers[address + 3]];
            SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([headers[port], headers[port + 1]]))
        };
        Some((*self.socket_of.get(&end(26, 34))?, end(30, 36)))
    }

    /// Sends frames of one socket, in order, in one call to the kernel; how many it took.
    fn send(&self, socket: u16, frames: &[(&[u8], SocketAddrAny)]) -> usize {
        let slices: Burst<[IoSlice<'_>; 1]> =
            frames.iter().map(|(frame, _)| [IoSlice::new(&frame[HEADERS..])]).collect();
        let mut controls: Burst<SendAncillaryBuffer<'_, '_, '_>> =
            frames.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let mut messages: Burst<MMsgHdr<'_>> = frames
            .iter()
            .zip(&slices)
            .zip(&mut controls)
            .map(|(((_, to), slice), control)| MMsgHdr::new_with_addr(to, slice, control))
            .collect();
        let mut send = || sendmmsg(&self.sockets[usize::from(socket)], &mut messages, SendFlags::DONTWAIT);
        // That nobody listened to an earlier datagram is told once, in place of sending this one.
        match send().or_else(|error| if error == Errno::CONNREFUSED { send() } else { Err(error) }) {
            Ok(sent) => sent,
            Err(Errno::AGAIN | Errno::NOBUFS) => 0,
            // One that cannot be sent is as good as lost on the way.
            Err(_) => 1,
        }
    }

    /// One datagram of a socket, in a frame; `None` when nothing waits.
    fn receive(&mut self, socket: usize) -> Option<KernelBuf> {
        loop {
            let mut buf = self.allocate()?;
            let storage = buf.storage.as_mut()?;
            match self.sockets[socket].recv_from(&mut storage[HEADERS..]) {
                Ok((length, SocketAddr::V4(from))) => {
                    let Some(leg) = self.heard.get(&(socket as u16, from)) else { continue };
                    let (headers, _) = storage.split_first_chunk_mut::<HEADERS>()?;
                    headers.fill(0);
                    headers[12] = 0x08;
                    headers[14] = 0x45;
                    headers[23] = 17;
                    headers[26..30].copy_from_slice(&from.ip().octets());
                    headers[30..34].copy_from_slice(&leg.ip().octets());
                    headers[34..36].copy_from_slice(&from.port().to_be_bytes());
                    headers[36..38].copy_from_slice(&leg.port().to_be_bytes());
                    headers[38..40].copy_from_slice(&((length + 8) as u16).to_be_bytes());
                    buf.end = HEADERS + length;
                    return Some(buf);
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Ok(_) | Err(_) => return None,
            }
        }
    }
}

impl PacketIo for KernelIo {
    type Buf = KernelBuf;

    fn rx_burst(&mut self, into: &mut Burst<KernelBuf>) {
        for _ in 0..self.sockets.len() {
            let socket = self.next;
            while !into.is_full() {
                match self.receive(socket) {
                    Some(buf) => into.push(buf),
                    None => break,
                }
            }
            if into.is_full() {
                return;
            }
            self.next = (socket + 1) % self.sockets.len();
        }
    }

    fn tx_burst(&mut self, from: &mut Burst<KernelBuf>) {
        let mut taken = 0;
        while taken < from.len() {
            let mut frames: Burst<(&[u8], SocketAddrAny)> = Burst::new();
            let mut socket = None;
            for buf in from[taken..].iter() {
                match self.way(buf.data()) {
                    Some((way, to)) if socket.is_none_or(|socket| socket == way) => {
                        socket = Some(way);
                        frames.push((buf.data(), to.as_any()));
                    }
                    _ => break,
                }
            }
            // What no leg sends goes nowhere.
            let Some(socket) = socket else {
                taken += 1;
                continue;
            };
            let sent = self.send(socket, &frames);
            taken += sent;
            if sent < frames.len() {
                break;
            }
        }
        from.drain(..taken);
    }

    fn allocate(&mut self) -> Option<KernelBuf> {
        if self.spare.is_empty() {
            self.spare.extend(self.returned.try_iter());
        }
        let storage = self.spare.pop().unwrap_or_else(|| Box::new([0; ROOM]));
        Some(KernelBuf { storage: Some(storage), end: 0, give_back: self.give_back.clone() })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { mac: [2, 0, 0, 0, 0, 0], mtu: 1_500, rx_ip_udp_checksum: false, tx_ip_udp_checksum: false }
    }
}

/// A frame on its way to or from a socket.
struct KernelBuf {
    storage: Option<Box<[u8; ROOM]>>,
    end: usize,
    give_back: mpsc::Sender<Box<[u8; ROOM]>>,
}

impl Drop for KernelBuf {
    fn drop(&mut self) {
        if let Some(storage) = self.storage.take() {
            // Nobody takes it when the device has gone.
            let _ = self.give_back.send(storage);
        }
    }
}

impl PacketBuf for KernelBuf {
    fn data(&self) -> &[u8] {
        self.storage.as_ref().map_or(&[], |storage| &storage[..self.end])
    }

    fn data_mut(&mut self) -> &mut [u8] {
        self.storage.as_mut().map_or(&mut [], |storage| &mut storage[..self.end])
    }

    fn headroom(&self) -> usize {
        0
    }

    fn tailroom(&self) -> usize {
        ROOM - self.end
    }

    fn set_len(&mut self, len: usize) -> Result<(), NoRoom> {
        if len > ROOM {
            return Err(NoRoom { wanted: len - self.end, available: self.tailroom() });
        }
        self.end = len;
        Ok(())
    }

    fn prepend(&mut self, len: usize) -> Result<(), NoRoom> {
        if len == 0 { Ok(()) } else { Err(NoRoom { wanted: len, available: 0 }) }
    }

    fn advance(&mut self, len: usize) -> Result<(), NoRoom> {
        if len == 0 { Ok(()) } else { Err(NoRoom { wanted: len, available: 0 }) }
    }

    fn rx_checksum(&self) -> RxChecksum {
        RxChecksum::UNKNOWN
    }

    fn request_ip_udp_checksum(&mut self, _l2_len: usize, _l3_len: usize) {}
}
