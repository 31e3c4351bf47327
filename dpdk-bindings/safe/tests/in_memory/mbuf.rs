use tandem_packet_io::{NoRoom, PacketBuf, RxChecksum};

use crate::pool;

#[test]
fn a_fresh_mbuf_is_empty_with_room_on_both_sides() {
    let mbuf = pool(1).allocate().unwrap();
    assert!(mbuf.is_empty());
    assert_eq!((mbuf.headroom(), mbuf.tailroom()), (128, 2048));
    assert_eq!(mbuf.rx_checksum(), RxChecksum::UNKNOWN);
}

#[test]
fn headers_go_before_and_come_off_again() {
    let mut mbuf = pool(1).allocate().unwrap();
    mbuf.set_len(4).unwrap();
    mbuf.data_mut().copy_from_slice(b"data");
    mbuf.prepend(5).unwrap();
    mbuf.data_mut()[..5].copy_from_slice(b"head:");
    assert_eq!(mbuf.data(), b"head:data");
    mbuf.advance(5).unwrap();
    assert_eq!((mbuf.data(), mbuf.headroom()), (&b"data"[..], 128));
    mbuf.set_len(2).unwrap();
    assert_eq!(mbuf.data(), b"da");
    mbuf.set_len(4).unwrap();
    assert_eq!(mbuf.data(), b"data", "what growing brings in is what was there");
}

#[test]
fn a_frame_fills_its_buffer_and_not_an_octet_more() {
    let mut mbuf = pool(1).allocate().unwrap();
    mbuf.set_len(2048).unwrap();
    assert_eq!(mbuf.set_len(2049), Err(NoRoom { wanted: 1, available: 0 }));
    mbuf.prepend(128).unwrap();
    assert_eq!(mbuf.prepend(1), Err(NoRoom { wanted: 1, available: 0 }));
    assert_eq!((mbuf.len(), mbuf.headroom(), mbuf.tailroom()), (2176, 0, 0));
    assert_eq!(mbuf.advance(2177), Err(NoRoom { wanted: 2177, available: 2176 }));
    mbuf.advance(2176).unwrap();
    assert!(mbuf.is_empty());
}

#[test]
fn lengths_beyond_any_packet_are_refused_and_change_nothing() {
    let mut mbuf = pool(1).allocate().unwrap();
    mbuf.set_len(10).unwrap();
    for len in [65_536, usize::MAX] {
        assert!(mbuf.set_len(len).is_err());
        assert!(mbuf.prepend(len).is_err());
        assert!(mbuf.advance(len).is_err());
    }
    assert_eq!((mbuf.len(), mbuf.headroom()), (10, 128));
}

#[test]
fn a_reused_mbuf_starts_empty_again() {
    let pool = pool(1);
    let mut mbuf = pool.allocate().unwrap();
    mbuf.set_len(100).unwrap();
    mbuf.prepend(20).unwrap();
    drop(mbuf);
    let mbuf = pool.allocate().unwrap();
    assert_eq!((mbuf.len(), mbuf.headroom()), (0, 128));
}
