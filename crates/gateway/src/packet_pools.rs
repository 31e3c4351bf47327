//! Packet buffers where the workers are: a pool for each NUMA node on which some poll.

use std::path::Path;

use dpdk::eal::Eal;
use dpdk::mempool::{Mempool, MempoolConfig};

use crate::exit::Failure;

const CPUS: &str = "/sys/devices/system/cpu";

/// A pool for each core in their order; those of one node share theirs. `buffers` are divided among nodes by their cores.
pub(crate) fn packet_pools(eal: &Eal, buffers: u32, data_room: u16, cores: &[usize]) -> Result<Vec<Mempool>, Failure> {
    let nodes: Vec<Option<u16>> = cores.iter().map(|core| numa_node(Path::new(CPUS), *core)).collect();
    let mut pools: Vec<(Option<u16>, Mempool)> = Vec::new();
    for (node, of_node) in shares(&nodes, buffers) {
        let name = node.map_or("packets".to_owned(), |node| format!("packets-{node}"));
        let config = MempoolConfig { data_room, numa_node: node, ..MempoolConfig::new(&name, of_node) };
        let pool = Mempool::new(eal, &config).or_else(|error| {
            if node.is_none() {
                return Err(error);
            }
            tracing::warn!(%error, node, "no packet buffers on the workers' own NUMA node: taken from any");
            Mempool::new(eal, &MempoolConfig { numa_node: None, ..config })
        });
        pools.push((node, pool.map_err(|error| Failure::Machine(vec![error.to_string()]))?));
    }
    let pool_of = |node: &Option<u16>| pools.iter().find(|(of, _)| of == node).map(|(_, pool)| pool.clone());
    Ok(nodes.iter().filter_map(pool_of).collect())
}

/// The nodes, each once, with their shares, rounded up.
fn shares(nodes: &[Option<u16>], buffers: u32) -> Vec<(Option<u16>, u32)> {
    let mut distinct = nodes.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let share = |node: &Option<u16>| {
        let cores = nodes.iter().filter(|of| *of == node).count() as u64;
        (u64::from(buffers) * cores).div_ceil(nodes.len() as u64) as u32
    };
    distinct.iter().map(|node| (*node, share(node))).collect()
}

/// The node of a core, `None` where the kernel does not say.
fn numa_node(cpus: &Path, core: usize) -> Option<u16> {
    let entries = std::fs::read_dir(cpus.join(format!("cpu{core}"))).ok()?;
    entries.flatten().find_map(|entry| entry.file_name().to_str()?.strip_prefix("node")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_divided_among_nodes_by_their_cores() {
        assert_eq!(shares(&[None, None], 1000), [(None, 1000)]);
        assert_eq!(shares(&[Some(1), Some(0), Some(1)], 1000), [(Some(0), 334), (Some(1), 667)]);
    }

    #[test]
    fn the_kernel_says_on_which_node_a_core_is() {
        let cpus = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(cpus.path().join("cpu3/node1")).unwrap();
        std::fs::create_dir_all(cpus.path().join("cpu4/cache")).unwrap();
        assert_eq!([3, 4, 5].map(|core| numa_node(cpus.path(), core)), [Some(1), None, None]);
    }
}
