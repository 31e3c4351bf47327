use dpdk::ring::{self, RingError};
use tandem_packet_io::{Burst, PacketBuf};

use crate::{eal, pool, unique};

fn name() -> String {
    format!("ring-{}", unique())
}

#[test]
fn mbufs_cross_in_order_and_the_rest_stays_with_the_producer() {
    let pool = pool(127);
    let (mut producer, mut consumer) = ring::channel(eal(), &name(), 64).unwrap();
    let mut number = 0u8;
    let mut left = 0;
    for _ in 0..2 {
        let mut burst = Burst::new();
        pool.allocate_burst(&mut burst);
        for mbuf in &mut burst {
            mbuf.set_len(1).unwrap();
            mbuf.data_mut()[0] = number;
            number += 1;
        }
        producer.enqueue(&mut burst);
        left = burst.len();
        assert!(burst.iter().all(|mbuf| mbuf.data() == [63]));
    }
    assert_eq!(left, 1, "a ring of 64 holds 63");
    let mut out = Burst::new();
    let mut seen = Vec::new();
    loop {
        consumer.dequeue(&mut out);
        if out.is_empty() {
            break;
        }
        seen.extend(out.drain(..).map(|mbuf| mbuf.data()[0]));
    }
    assert!(seen.into_iter().eq(0..63));
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_full_burst_takes_nothing_out() {
    let pool = pool(63);
    let (mut producer, mut consumer) = ring::channel(eal(), &name(), 8).unwrap();
    let mut one = Burst::from_iter(pool.allocate());
    producer.enqueue(&mut one);
    let mut full = Burst::new();
    pool.allocate_burst(&mut full);
    consumer.dequeue(&mut full);
    full.clear();
    consumer.dequeue(&mut full);
    assert_eq!(full.len(), 1);
}

#[test]
fn what_is_left_in_a_ring_goes_home_with_it() {
    let pool = pool(127);
    let (mut producer, consumer) = ring::channel(eal(), &name(), 64).unwrap();
    let mut burst = Burst::new();
    pool.allocate_burst(&mut burst);
    producer.enqueue(&mut burst);
    assert_eq!(pool.in_use(), 32);
    drop(consumer);
    assert_eq!(pool.in_use(), 32);
    drop(producer);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_ring_crosses_threads() {
    let pool = pool(255);
    let (mut producer, mut consumer) = ring::channel(eal(), &name(), 32).unwrap();
    let taker = std::thread::spawn(move || {
        let mut seen = Vec::new();
        let mut burst = Burst::new();
        while seen.len() < 1000 {
            consumer.dequeue(&mut burst);
            seen.extend(burst.drain(..).map(|mbuf| usize::from_be_bytes(mbuf.data().try_into().unwrap())));
            std::thread::yield_now();
        }
        seen
    });
    let mut burst = Burst::new();
    for number in 0..1000usize {
        let mut mbuf = loop {
            match pool.allocate() {
                Some(mbuf) => break mbuf,
                None => std::thread::yield_now(),
            }
        };
        mbuf.set_len(8).unwrap();
        mbuf.data_mut().copy_from_slice(&number.to_be_bytes());
        burst.push(mbuf);
        while !burst.is_empty() {
            producer.enqueue(&mut burst);
        }
    }
    assert!(taker.join().unwrap().into_iter().eq(0..1000));
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn sizes_that_are_no_power_of_two_are_refused() {
    for capacity in [0, 1, 3, 100] {
        assert!(matches!(ring::channel(eal(), &name(), capacity), Err(RingError::Capacity(c)) if c == capacity));
    }
}
