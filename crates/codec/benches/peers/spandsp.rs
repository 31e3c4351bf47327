//! spandsp's G.722, by its installed public header (`g722_encode_init` and so on).

use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};

use libloading::Library;

/// 64 kbit/s in octets, 16 kHz samples.
const RATE: c_int = 64_000;
const NO_OPTIONS: c_int = 0;

type Init = unsafe extern "C" fn(*mut c_void, c_int, c_int) -> *mut c_void;
type Encode = unsafe extern "C" fn(*mut c_void, *mut u8, *const i16, c_int) -> c_int;
type Decode = unsafe extern "C" fn(*mut c_void, *mut i16, *const u8, c_int) -> c_int;
type Free = unsafe extern "C" fn(*mut c_void) -> c_int;

/// The loaded library.
pub(crate) struct Spandsp {
    library: Library,
}

impl Spandsp {
    /// Loads the library, if it is installed.
    pub(crate) fn load() -> Option<Self> {
        // SAFETY: the library has no initialisation routine that could do harm.
        unsafe { Library::new("libspandsp.so.2") }.ok().map(|library| Self { library })
    }

    /// The function called `name`, whose type is `F`.
    fn function<F: Copy>(&self, name: &str) -> F {
        // SAFETY: the callers below name each function with the type that spandsp's header declares.
        let symbol = unsafe { self.library.get::<F>(name.as_bytes()) };
        *symbol.unwrap_or_else(|error| panic!("libspandsp.so.2 lacks {name}: {error}"))
    }

    fn state(&self, init: &str) -> NonNull<c_void> {
        // SAFETY: a null state asks for a new one, which is returned, or null without memory.
        let state = unsafe { self.function::<Init>(init)(ptr::null_mut(), RATE, NO_OPTIONS) };
        NonNull::new(state).expect("memory for a state")
    }

    /// An encoder.
    pub(crate) fn encoder(&self) -> Encoder {
        Encoder {
            state: self.state("g722_encode_init"),
            encode: self.function("g722_encode"),
            free: self.function("g722_encode_free"),
        }
    }

    /// A decoder.
    pub(crate) fn decoder(&self) -> Decoder {
        Decoder {
            state: self.state("g722_decode_init"),
            decode: self.function("g722_decode"),
            free: self.function("g722_decode_free"),
        }
    }
}

/// An encoder of spandsp. It must not outlive its [`Spandsp`].
pub(crate) struct Encoder {
    state: NonNull<c_void>,
    encode: Encode,
    free: Free,
}

impl Encoder {
    /// Encodes two samples to an octet.
    pub(crate) fn encode(&mut self, pcm: &[i16], octets: &mut [u8]) {
        assert!(octets.len() * 2 >= pcm.len());
        // SAFETY: the state is the encoder's own, and the octets have room for half as many as there are samples.
        unsafe { (self.encode)(self.state.as_ptr(), octets.as_mut_ptr(), pcm.as_ptr(), pcm.len() as c_int) };
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: the state came from the library and is given back once.
        unsafe { (self.free)(self.state.as_ptr()) };
    }
}

/// A decoder of spandsp. It must not outlive its [`Spandsp`].
pub(crate) struct Decoder {
    state: NonNull<c_void>,
    decode: Decode,
    free: Free,
}

impl Decoder {
    /// Decodes an octet to two samples.
    pub(crate) fn decode(&mut self, octets: &[u8], pcm: &mut [i16]) {
        assert!(pcm.len() >= 2 * octets.len());
        // SAFETY: the state is the decoder's own, and the samples have room for twice as many as there are octets.
        unsafe { (self.decode)(self.state.as_ptr(), pcm.as_mut_ptr(), octets.as_ptr(), octets.len() as c_int) };
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the state came from the library and is given back once.
        unsafe { (self.free)(self.state.as_ptr()) };
    }
}
