use std::thread;

use dpdk::error::Errno;
use dpdk::lcore;
use dpdk::mempool::{Mempool, MempoolConfig, MempoolError};
use tandem_packet_io::{Burst, PacketBuf};

use crate::{eal, pool, unique};

#[test]
fn an_exhausted_pool_gives_nothing_until_something_comes_back() {
    let pool = pool(15);
    let mut out: Vec<_> = std::iter::from_fn(|| pool.allocate()).collect();
    assert_eq!((out.len(), pool.in_use()), (15, 15));
    assert!(pool.allocate().is_none());
    out.pop();
    assert!(pool.allocate().is_some());
    drop(out);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_burst_is_allocated_whole_or_not_at_all() {
    let pool = pool(63);
    let mut first = Burst::new();
    first.push(pool.allocate().unwrap());
    pool.allocate_burst(&mut first);
    assert_eq!((first.len(), pool.in_use()), (32, 32));
    let mut second = Burst::new();
    pool.allocate_burst(&mut second);
    assert_eq!(second.len(), 0, "31 are left, and 32 have room");
    drop(first);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn mbufs_outlive_the_last_handle_of_their_pool() {
    let pool = pool(7);
    let mut mbuf = pool.allocate().unwrap();
    drop(pool);
    mbuf.set_len(3).unwrap();
    mbuf.data_mut().copy_from_slice(b"abc");
    assert_eq!(mbuf.data(), b"abc");
}

#[test]
fn mbufs_come_home_from_other_threads() {
    let pool = pool(31);
    let away: Vec<_> = std::iter::from_fn(|| pool.allocate()).collect();
    let thread = thread::spawn(move || away.len());
    assert_eq!(thread.join().unwrap(), 31);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_registered_thread_s_cache_counts_as_home() {
    let config = MempoolConfig { cache: 32, ..MempoolConfig::new(&format!("pool-{}", unique()), 127) };
    let pool = Mempool::new(eal(), &config).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let _lcore = lcore::register(eal()).unwrap();
            let mbufs: Vec<_> = (0..40).map(|_| pool.allocate().unwrap()).collect();
            assert_eq!(pool.in_use(), 40);
            drop(mbufs);
            assert_eq!(pool.in_use(), 0);
        });
    });
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_thread_can_register_again_after_its_registration_ended() {
    thread::spawn(|| {
        for _ in 0..200 {
            drop(lcore::register(eal()).unwrap());
        }
    })
    .join()
    .unwrap();
}

#[test]
fn a_core_that_is_not_there_is_named() {
    let error = thread::spawn(|| lcore::pin(1000).unwrap_err().to_string()).join().unwrap();
    assert!(error.starts_with("cannot pin to core 1000"), "{error}");
}

#[test]
fn a_pool_that_does_not_fit_says_so() {
    let config = MempoolConfig::new(&format!("pool-{}", unique()), 1 << 26); // whose ring alone does not fit: nothing is taken
    let error = Mempool::new(eal(), &config).unwrap_err();
    assert!(matches!(error, MempoolError::Create { errno: Errno::NoMemory | Errno::NoBuffers, .. }), "{error}");
    assert!(error.to_string().contains("Give EAL more memory"), "{error}");
}

#[test]
fn a_name_is_given_once() {
    let config = MempoolConfig { cache: 0, ..MempoolConfig::new(&format!("pool-{}", unique()), 7) };
    let _first = Mempool::new(eal(), &config).unwrap();
    let error = Mempool::new(eal(), &config).unwrap_err();
    assert!(matches!(error, MempoolError::Create { errno: Errno::Exists, .. }), "{error}");
}

#[test]
fn a_freed_pool_s_name_is_free() {
    let config = MempoolConfig { cache: 0, ..MempoolConfig::new(&format!("pool-{}", unique()), 7) };
    drop(Mempool::new(eal(), &config).unwrap());
    Mempool::new(eal(), &config).unwrap();
}
