//! Several devices as one.

use arrayvec::ArrayVec;

use crate::{Burst, Capabilities, PacketBuf, PacketIo};

/// Devices that one worker serves at most.
pub const MAX_DEVICES: usize = 8;

/// Devices that one worker serves, seen as one. They share a pool: a frame that one received another sends as it is.
///
/// A frame leaves by the device whose hardware address it has as its source, as whoever built its Ethernet header chose; so
/// the addresses have to be distinct. A frame with none of them leaves by the first.
pub struct Several<Io: PacketIo> {
    devices: ArrayVec<Device<Io>, MAX_DEVICES>,
    /// Whose turn it is to be asked first.
    turn: usize,
}

struct Device<Io: PacketIo> {
    io: Io,
    mac: [u8; 6],
    /// What of a burst is its own; empty between bursts.
    leaving: Burst<Io::Buf>,
}

impl<Io: PacketIo> Several<Io> {
    /// Takes the devices in order; `None` where there is none, there are more than [`MAX_DEVICES`], or two have the same
    /// hardware address.
    pub fn new(devices: impl IntoIterator<Item = Io>) -> Option<Self> {
        let mut several = Self { devices: ArrayVec::new(), turn: 0 };
        for io in devices {
            let mac = io.capabilities().mac;
            if several.devices.iter().any(|other| other.mac == mac) {
                return None;
            }
            several.devices.try_push(Device { io, mac, leaving: Burst::new() }).ok()?;
        }
        (!several.devices.is_empty()).then_some(several)
    }
}

impl<Io: PacketIo> PacketIo for Several<Io> {
    type Buf = Io::Buf;

    #[inline]
    fn rx_burst(&mut self, into: &mut Burst<Io::Buf>) {
        // Each comes first in its turn, so that a busy one does not leave the others without room.
        let (earlier, later) = self.devices.split_at_mut(self.turn);
        for device in later.iter_mut().chain(earlier) {
            if into.is_full() {
                break;
            }
            device.io.rx_burst(into);
        }
        self.turn = (self.turn + 1) % self.devices.len();
    }

    #[inline]
    fn tx_burst(&mut self, from: &mut Burst<Io::Buf>) {
        if let [only] = self.devices.as_mut_slice() {
            return only.io.tx_burst(from);
        }
        for frame in from.drain(..) {
            let mac = frame.data().get(6..12);
            let device = self.devices.iter().position(|device| mac == Some(&device.mac)).unwrap_or(0);
            // As much room as in the burst it comes from.
            self.devices[device].leaving.push(frame);
        }
        for device in &mut self.devices {
            if !device.leaving.is_empty() {
                device.io.tx_burst(&mut device.leaving);
                from.extend(device.leaving.drain(..));
            }
        }
    }

    fn allocate(&mut self) -> Option<Io::Buf> {
        self.devices.first_mut()?.io.allocate()
    }

    /// Of the first device.
    fn capabilities(&self) -> Capabilities {
        self.devices[0].io.capabilities()
    }
}
