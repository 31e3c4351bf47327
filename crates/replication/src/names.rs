//! What things are called in the store.

use std::fmt;

/// Bits of a run that count what a process has let go of.
const LIFE_BITS: u32 = 16;

/// One life of one node: its name, and a number that is random for each start of its process, and one more whenever the process
/// lets go of all that it had.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeRun {
    /// The node's name. No `/` is in it.
    pub node: String,
    /// Random in its upper 48 bits, and never 0.
    pub run: u64,
}

impl NodeRun {
    /// The first life of a process; `random` makes it different from every other one.
    pub fn first(node: &str, random: u64) -> Self {
        Self { node: node.to_owned(), run: (random | 1 << LIFE_BITS) & !((1 << LIFE_BITS) - 1) }
    }

    /// The next life of the same process.
    #[must_use]
    pub fn next(&self) -> Self {
        Self { node: self.node.clone(), run: self.run.wrapping_add(1) }
    }

    /// Whether both are lives of one process.
    pub fn is_same_process(&self, other: &Self) -> bool {
        self.node == other.node && self.run >> LIFE_BITS == other.run >> LIFE_BITS
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (node, run) = text.rsplit_once('/')?;
        let run = u64::from_str_radix(run, 16).ok().filter(|run| *run != 0)?;
        (!node.is_empty()).then(|| Self { node: node.to_owned(), run })
    }
}

impl fmt::Display for NodeRun {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{:016x}", self.node, self.run)
    }
}

/// The keys under one prefix.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    prefix: String,
}

impl Names {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(crate) fn nodes(&self) -> String {
        format!("{}:nodes", self.prefix)
    }

    /// Braces keep both hashes of a node on one server of a cluster.
    pub(crate) fn calls(&self, node: &NodeRun) -> String {
        format!("{}:{{{node}}}:calls", self.prefix)
    }

    pub(crate) fn positions(&self, node: &NodeRun) -> String {
        format!("{}:{{{node}}}:positions", self.prefix)
    }

    pub(crate) fn channel(&self, node: &NodeRun) -> String {
        format!("{}:changes:{node}", self.prefix)
    }

    pub(crate) fn all_channels(&self) -> String {
        let literal: String = self
            .prefix
            .chars()
            .flat_map(|c| ['\\'].into_iter().filter(move |_| "*?[]\\".contains(c)).chain([c]))
            .collect();
        format!("{literal}:changes:*")
    }

    /// Whose channel it is.
    pub(crate) fn node_of(&self, channel: &str) -> Option<NodeRun> {
        NodeRun::parse(channel.strip_prefix(&self.prefix)?.strip_prefix(":changes:")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_its_own_lives() {
        let first = NodeRun::first("a", u64::MAX);
        assert!(first.is_same_process(&first.next()) && first != first.next());
        assert!(
            !first.is_same_process(&NodeRun::first("a", 0))
                && !first.is_same_process(&NodeRun { node: "b".into(), ..first })
        );
    }

    #[test]
    fn a_node_is_found_by_its_channel() {
        let names = Names::new("tandem");
        let node = NodeRun { node: "edge-1".to_owned(), run: 0xab };
        assert_eq!(names.channel(&node), "tandem:changes:edge-1/00000000000000ab");
        assert_eq!(names.node_of(&names.channel(&node)), Some(node.clone()));
        assert_eq!(names.calls(&node), "tandem:{edge-1/00000000000000ab}:calls");
        for other in ["tandem:changes:edge-1", "tandem:changes:/ab", "other:changes:a/1", "tandem:changes:a/0"] {
            assert_eq!(names.node_of(other), None, "{other}");
        }
        assert_eq!(Names::new("a[b]*").all_channels(), "a\\[b\\]\\*:changes:*");
    }
}
