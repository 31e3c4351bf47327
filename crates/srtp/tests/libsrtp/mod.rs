//! libsrtp2 (Debian's `libsrtp2-1`), loaded at run time and never linked, by its public header `srtp2/srtp.h`.

use std::ffi::{c_int, c_uint, c_ulong, c_void};
use std::ptr;

use libloading::Library;
use tandem_srtp::CryptoSuite;

const NAME: &str = "libsrtp2.so.1";
/// `srtp_ssrc_type_t`.
const ANY_INBOUND: c_uint = 2;
const ANY_OUTBOUND: c_uint = 3;
/// `srtp_err_status_ok`.
const OK: c_int = 0;

/// `srtp_crypto_policy_t`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CryptoPolicy {
    cipher_type: u32,
    cipher_key_len: c_int,
    auth_type: u32,
    auth_key_len: c_int,
    auth_tag_len: c_int,
    sec_serv: c_uint,
}

/// `srtp_policy_t`.
#[repr(C)]
struct Policy {
    ssrc_type: c_uint,
    ssrc_value: c_uint,
    rtp: CryptoPolicy,
    rtcp: CryptoPolicy,
    key: *const u8,
    keys: *const c_void,
    num_master_keys: c_ulong,
    deprecated_ekt: *const c_void,
    window_size: c_ulong,
    allow_repeat_tx: c_int,
    enc_xtn_hdr: *const c_int,
    enc_xtn_hdr_count: c_int,
    next: *const c_void,
}

type SetPolicy = unsafe extern "C" fn(*mut CryptoPolicy);
type Create = unsafe extern "C" fn(*mut *mut c_void, *const Policy) -> c_int;
type Transform = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_int) -> c_int;
type Dealloc = unsafe extern "C" fn(*mut c_void) -> c_int;

/// The loaded library.
pub(crate) struct Libsrtp {
    library: Library,
}

/// One `srtp_t` that either protects or opens.
pub(crate) struct Session {
    session: *mut c_void,
    rtp: Transform,
    rtcp: Transform,
    dealloc: Dealloc,
}

impl Libsrtp {
    /// Loads the library, if it is installed.
    pub(crate) fn load() -> Option<Self> {
        // SAFETY: the library has no initialisation routine that could do harm.
        let library = unsafe { Library::new(NAME) }.ok()?;
        let loaded = Self { library };
        // SAFETY: `srtp_init` takes nothing, and may be called again.
        let status = unsafe { loaded.function::<unsafe extern "C" fn() -> c_int>("srtp_init")() };
        assert_eq!(status, OK, "srtp_init");
        Some(loaded)
    }

    /// The function called `name`, whose type is `F`.
    fn function<F: Copy>(&self, name: &str) -> F {
        // SAFETY: the callers name each function with the type that the header declares.
        let symbol = unsafe { self.library.get::<F>(name.as_bytes()) };
        *symbol.unwrap_or_else(|error| panic!("{NAME} lacks {name}: {error}"))
    }

    /// A session that protects.
    pub(crate) fn sender(&self, suite: CryptoSuite, key_and_salt: &[u8]) -> Session {
        self.session(suite, key_and_salt, ANY_OUTBOUND, ["srtp_protect", "srtp_protect_rtcp"])
    }

    /// A session that opens.
    pub(crate) fn receiver(&self, suite: CryptoSuite, key_and_salt: &[u8]) -> Session {
        self.session(suite, key_and_salt, ANY_INBOUND, ["srtp_unprotect", "srtp_unprotect_rtcp"])
    }

    fn session(&self, suite: CryptoSuite, key_and_salt: &[u8], ssrc_type: c_uint, names: [&str; 2]) -> Session {
        assert_eq!(key_and_salt.len(), suite.key_len() + suite.salt_len());
        // The header's names for what protects RTP, and RTCP beside it.
        let [rtp, rtcp] = match suite {
            CryptoSuite::AesCm128HmacSha1_80 => ["srtp_crypto_policy_set_rtp_default"; 2],
            CryptoSuite::AesCm128HmacSha1_32 => {
                ["srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32", "srtp_crypto_policy_set_rtp_default"]
            }
            CryptoSuite::AesCm256HmacSha1_80 => ["srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80"; 2],
            CryptoSuite::AesCm256HmacSha1_32 => {
                ["srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32", "srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80"]
            }
            CryptoSuite::AeadAes128Gcm => ["srtp_crypto_policy_set_aes_gcm_128_16_auth"; 2],
            CryptoSuite::AeadAes256Gcm => ["srtp_crypto_policy_set_aes_gcm_256_16_auth"; 2],
        };
        let policy_of = |name: &str| {
            let mut policy = CryptoPolicy::default();
            // SAFETY: it fills in the structure it is given.
            unsafe { self.function::<SetPolicy>(name)(&raw mut policy) };
            policy
        };
        let policy = Policy {
            ssrc_type,
            ssrc_value: 0,
            rtp: policy_of(rtp),
            rtcp: policy_of(rtcp),
            key: key_and_salt.as_ptr(),
            keys: ptr::null(),
            num_master_keys: 0,
            deprecated_ekt: ptr::null(),
            window_size: 128,
            allow_repeat_tx: 0,
            enc_xtn_hdr: ptr::null(),
            enc_xtn_hdr_count: 0,
            next: ptr::null(),
        };
        let mut session = ptr::null_mut();
        // SAFETY: the policy lives over the call, which copies key and salt.
        let status = unsafe { self.function::<Create>("srtp_create")(&raw mut session, &raw const policy) };
        assert_eq!(status, OK, "srtp_create for {suite:?}");
        let [rtp, rtcp] = names.map(|name| self.function::<Transform>(name));
        Session { session, rtp, rtcp, dealloc: self.function("srtp_dealloc") }
    }
}

impl Session {
    /// Protects or opens the RTP packet in `buffer[..len]`; the new length, or libsrtp's error. A buffer to protect has
    /// room for 148 octets more.
    pub(crate) fn rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, c_int> {
        self.transform(self.rtp, buffer, len)
    }

    /// The same with an RTCP compound.
    pub(crate) fn rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, c_int> {
        self.transform(self.rtcp, buffer, len)
    }

    fn transform(&mut self, function: Transform, buffer: &mut [u8], len: usize) -> Result<usize, c_int> {
        assert!(len <= buffer.len());
        let mut octets = c_int::try_from(len).expect("a packet's length");
        // SAFETY: the session is alive, and the buffer is as long as the callers promise.
        let status = unsafe { function(self.session, buffer.as_mut_ptr().cast(), &raw mut octets) };
        if status == OK { Ok(octets as usize) } else { Err(status) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the session came from `srtp_create` and is used no more.
        unsafe { (self.dealloc)(self.session) };
    }
}
