//! SIP messages and reports of calls' quality to a collector (HEP version 3): a thread of its own writes and sends what a bounded queue holds, so that neither
//! a slow network nor a flood holds up calls.

mod packet;
mod quality;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use tandem_config::{Config, Hep};

use packet::Agent;
pub(crate) use packet::{Capture, Carrier, Content};
pub(crate) use quality::Quality;

/// Room for bursts in the kernel.
const SEND_BUFFER_BYTES: usize = 1 << 20;

/// What was sent and what was not.
#[derive(Debug, Default)]
pub(crate) struct HepState {
    pub(crate) sent: AtomicU64,
    pub(crate) dropped: AtomicU64,
}

/// The switch's end of the queue.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    queue: SyncSender<Capture>,
    pub(crate) state: Arc<HepState>,
}

impl Collector {
    /// Starts the thread; `None` where no collector is configured. It ends with the last end of the queue.
    pub(crate) fn start(config: &Config) -> io::Result<Option<(Self, JoinHandle<()>)>> {
        let Hep { collector: Some(to), agent_id, ref password, queue, .. } = config.hep else { return Ok(None) };
        let any: SocketAddr =
            if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let socket = UdpSocket::bind(any)?;
        // The kernel grants what its limit allows.
        let _ = socket2::SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER_BYTES);
        let agent = Agent { id: agent_id, password: password.clone(), name: config.node.name.clone() };
        let (sender, receiver) = sync_channel(queue as usize);
        let state = Arc::new(HepState::default());
        let counted = state.clone();
        let thread = std::thread::Builder::new()
            .name("tandem-hep".to_owned())
            .spawn(move || send(&socket, to, &agent, &receiver, &counted))?;
        Ok(Some((Self { queue: sender, state }, thread)))
    }

    /// Queues a message, or counts it.
    pub(crate) fn send(&self, capture: Capture) {
        if self.queue.try_send(capture).is_err() {
            self.state.dropped.fetch_add(1, Relaxed);
        }
    }
}

fn send(socket: &UdpSocket, to: SocketAddr, agent: &Agent, queue: &Receiver<Capture>, state: &HepState) {
    let mut packet = Vec::new();
    while let Ok(capture) = queue.recv() {
        packet.clear();
        // A collector that is not there costs its packets, as one that is far away would.
        let is_sent = packet::write(&mut packet, agent, &capture) && socket.send_to(&packet, to).is_ok();
        let count = if is_sent { &state.sent } else { &state.dropped };
        count.fetch_add(1, Relaxed);
    }
}
