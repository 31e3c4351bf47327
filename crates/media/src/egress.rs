use std::net::IpAddr;

use tandem_contract::{Nanos, Stage, TapHeader, WorkerId};
use tandem_packet_io::PacketBuf;
use tandem_wire::ethernet::MacAddress;

/// Where an engine's frames go. The worker implements it over its device and rings, tests over vectors.
///
/// An egress counts what it is given: frames sent, or dropped because the queue or ring was full.
pub trait Egress {
    /// The device's packet buffer.
    type Buf: PacketBuf;

    /// Sends a media packet on; `received_at` is when the packet it came from was received.
    fn forward(&mut self, frame: Self::Buf, received_at: Nanos);

    /// Sends an answer or a frame of the engine's own.
    fn send(&mut self, frame: Self::Buf);

    /// Gives a frame to the worker that owns its flow.
    fn hand_over(&mut self, owner: WorkerId, frame: Self::Buf);

    /// Tells the other workers of the ports which hardware address a neighbour has: its ARP packets reach one queue only. `port` is
    /// the number of the port that he was heard on, if that is known.
    fn announce(&mut self, neighbour: IpAddr, port: Option<u8>, mac: MacAddress);

    /// Copies an RTP packet to the recorder; `false` where there is none, or no room on the way to it.
    fn record(&mut self, _header: &TapHeader, _rtp: &[u8]) -> bool {
        false
    }

    /// The work since the last stage ended, or since the round began, belongs to `stage`. Said per burst and per batch,
    /// never per packet. An egress with a clock adds the time up; without one this costs nothing.
    #[inline]
    fn stage_ended(&mut self, _stage: Stage) {}

    /// An empty buffer, `None` when the pool is exhausted.
    fn allocate(&mut self) -> Option<Self::Buf>;
}
