//! Any octets as an SRTP and an SRTCP packet; shared by the property test and the fuzz target.

use tandem_srtp::{CryptoSuite, MasterKey, Receiver};

/// A packet that no key was used on is refused by every suite, and left as it came.
pub(crate) fn are_refused(octets: &[u8]) {
    for suite in CryptoSuite::ALL {
        let key: Vec<u8> = (0..suite.key_len() + suite.salt_len()).map(|octet| (octet * 5 + 3) as u8).collect();
        let mut receiver = Receiver::new(&MasterKey::new(suite, &key).expect("the length is the suite's"));
        let mut packet = octets.to_vec();
        assert!(receiver.unprotect(&mut packet).is_err());
        assert!(receiver.unprotect_rtcp(&mut packet).is_err());
        assert_eq!(packet, octets);
    }
}
