/// Declares every stage once: the enum, its metric label and the sentence the manual prints come from this list.
macro_rules! stages {
    ($($variant:ident, $label:literal, $meaning:literal;)+) => {
        /// What a worker spends the time of a round on. Every nanosecond of a round that found work is counted under
        /// exactly one of these.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Stage {
            $(#[doc = $meaning] $variant,)+
        }

        impl Stage {
            /// Every stage, in the order of a round.
            pub const ALL: [Self; [$($label),+].len()] = [$(Self::$variant),+];

            /// The value of the `stage` label in the metrics.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }

            /// One sentence for the manual.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }
        }
    };
}

stages! {
    Commands, "commands", "Flows installed, changed and removed.";
    Receive, "receive", "Frames taken from the device and from other workers.";
    Classify, "classify", "Headers read, flows looked up, ARP and ICMP answered.";
    Relay, "relay", "RTP and RTCP checked, counted, given to a batch or rewritten for sending.";
    Codec, "codec", "Codec kernels, over whole batches.";
    Timers, "timers", "Reports, clips, neighbours, silent legs.";
    Transmit, "transmit", "Frames given to the device, events to control.";
}

#[cfg(test)]
mod tests {
    use super::Stage;

    #[test]
    fn a_stage_is_its_own_index_and_its_label_fits_prometheus() {
        for (index, stage) in Stage::ALL.iter().enumerate() {
            assert_eq!(*stage as usize, index);
            assert!(stage.label().bytes().all(|b| b.is_ascii_lowercase()));
        }
    }
}
