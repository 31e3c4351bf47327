//! A device that is slower on purpose, to show that measurements notice.

use tandem_packet_io::{Burst, Capabilities, PacketIo};
use tandem_worker::{Clock, TscClock};

/// A device whose every received frame costs so many nanoseconds more. With 0 it is the device itself but for one
/// comparison a burst.
pub(crate) struct Slowed<Io> {
    io: Io,
    clock: TscClock,
    ns_per_frame: u32,
}

impl<Io> Slowed<Io> {
    pub(crate) fn new(io: Io, clock: TscClock, ns_per_frame: u32) -> Self {
        Self { io, clock, ns_per_frame }
    }
}

impl<Io: PacketIo> PacketIo for Slowed<Io> {
    type Buf = Io::Buf;

    #[inline]
    fn rx_burst(&mut self, into: &mut Burst<Io::Buf>) {
        if self.ns_per_frame == 0 {
            return self.io.rx_burst(into);
        }
        let before = into.len();
        self.io.rx_burst(into);
        let frames = (into.len() - before) as u64;
        let until = self.clock.now().plus(frames * u64::from(self.ns_per_frame));
        while frames > 0 && self.clock.now() < until {
            std::hint::spin_loop();
        }
    }

    #[inline]
    fn tx_burst(&mut self, from: &mut Burst<Io::Buf>) {
        self.io.tx_burst(from);
    }

    #[inline]
    fn allocate(&mut self) -> Option<Io::Buf> {
        self.io.allocate()
    }

    fn capabilities(&self) -> Capabilities {
        self.io.capabilities()
    }
}
