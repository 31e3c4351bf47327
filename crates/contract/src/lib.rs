//! What control and workers say to each other: commands, events, drop reasons, counters.
