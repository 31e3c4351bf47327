//! What all cores together move to and from memory, where the kernel tells.
//!
//! The processor counts it per third-level cache (Intel RDT's and AMD's memory bandwidth monitoring), the kernel shows it below `/sys/fs/resctrl` once that
//! is mounted (`mount -t resctrl resctrl /sys/fs/resctrl`; kernel documentation, `arch/x86/resctrl.rst`). Virtual machines mostly have none of it.

use std::path::Path;

/// Octets moved since some time in the past, over all caches; `None` where the kernel does not tell. The file system is looked at below `root`.
pub fn memory_traffic_octets(root: &Path) -> Option<u64> {
    let caches = std::fs::read_dir(root.join("sys/fs/resctrl/mon_data")).ok()?.flatten();
    let told = caches.filter_map(|cache| {
        // "Unavailable" where the counter is not ready.
        std::fs::read_to_string(cache.path().join("mbm_total_bytes")).ok()?.trim().parse::<u64>().ok()
    });
    told.reduce(u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caches_counters_are_added_up_and_those_that_are_not_ready_left_out() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(memory_traffic_octets(folder.path()), None, "not mounted");
        let cache = |name: &str, text: Option<&str>| {
            let path = folder.path().join("sys/fs/resctrl/mon_data").join(name);
            std::fs::create_dir_all(&path).unwrap();
            text.map_or(Ok(()), |text| std::fs::write(path.join("mbm_total_bytes"), text)).unwrap();
        };
        cache("mon_L3_02", None);
        assert_eq!(memory_traffic_octets(folder.path()), None, "a processor that counts occupancy alone");
        cache("mon_L3_00", Some("1000\n"));
        cache("mon_L3_01", Some("24\n"));
        cache("mon_L3_03", Some("Unavailable\n"));
        assert_eq!(memory_traffic_octets(folder.path()), Some(1_024));
    }
}
