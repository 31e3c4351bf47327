/// How a leg learns where its peer is (what RFC 7362 calls latching).
///
/// "Signalled" is the address and port that the peer's session description named. Until something is learned, and where
/// nothing is, media goes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learning {
    /// Nothing is learned.
    Off,
    /// The first source of the signalled IP address, whatever its port, becomes the remote at once.
    Port,
    /// The first source becomes the remote at once, whatever its address: for peers behind address translation.
    Immediate,
    /// Media goes to the signalled address for the learning interval, which the first packet begins. A packet from there
    /// settles it; where none came, the source that speaks after the interval becomes the remote.
    Delayed,
    /// As `Delayed`, but of the sources of the interval the one most like the signalled address is heard and becomes the
    /// remote: the same address before the same port before anything else.
    Heuristic,
}

/// From whom a leg accepts RTP, and where it sends its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePolicy {
    /// How the remote is learned.
    pub learning: Learning,
    /// Only the remote is heard (while it is being learned, only the best source so far). Without it every source that
    /// could have been learned is heard, and nothing is sent there.
    pub strict: bool,
    /// The learning interval of `Delayed` and `Heuristic`, in milliseconds.
    pub interval_ms: u16,
    /// Learning starts anew when the remote has been silent for so many milliseconds and another source speaks; 0: never.
    pub relearn_after_ms: u32,
    /// Learning starts anew when, within the learning interval after a change of the flow's configuration, a packet comes
    /// from another source and with another SSRC. A new signalled address starts it in any case.
    pub relearn_on_update: bool,
}

impl SourcePolicy {
    /// The learning interval where nothing else is said, in milliseconds.
    pub const INTERVAL_MS: u16 = 500;

    /// A way to learn; only the remote is heard, and what was learned stays.
    pub const fn new(learning: Learning) -> Self {
        Self { learning, strict: true, interval_ms: Self::INTERVAL_MS, relearn_after_ms: 0, relearn_on_update: false }
    }
}
