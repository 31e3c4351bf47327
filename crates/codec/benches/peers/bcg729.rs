//! bcg729, by its installed public header.

use std::ffi::c_void;
use std::ptr::NonNull;

use libloading::Library;

/// Samples of a frame.
const FRAME_SAMPLES: usize = 80;

type Init = unsafe extern "C" fn() -> *mut c_void;
type InitEncoder = unsafe extern "C" fn(u8) -> *mut c_void;
type Close = unsafe extern "C" fn(*mut c_void);
type Decode = unsafe extern "C" fn(*mut c_void, *const u8, u8, u8, u8, u8, *mut i16);
type Encode = unsafe extern "C" fn(*mut c_void, *const i16, *mut u8, *mut u8);

/// The loaded library.
pub(crate) struct Bcg729 {
    library: Library,
}

impl Bcg729 {
    /// Loads the library, if it is installed.
    pub(crate) fn load() -> Option<Self> {
        // SAFETY: the library has no initialisation routine that could do harm.
        unsafe { Library::new("libbcg729.so.0") }.ok().map(|library| Self { library })
    }

    /// The function called `name`, whose type is `F`.
    fn function<F: Copy>(&self, name: &str) -> F {
        // SAFETY: the callers below name each function with the type that bcg729's header declares.
        let symbol = unsafe { self.library.get::<F>(name.as_bytes()) };
        *symbol.unwrap_or_else(|error| panic!("libbcg729.so.0 lacks {name}: {error}"))
    }

    /// A decoder.
    pub(crate) fn decoder(&self) -> Decoder {
        // SAFETY: the function takes nothing and returns a channel or null.
        let channel = unsafe { self.function::<Init>("initBcg729DecoderChannel")() };
        Decoder {
            channel: NonNull::new(channel).expect("memory for a decoder"),
            decode: self.function("bcg729Decoder"),
            close: self.function("closeBcg729DecoderChannel"),
        }
    }

    /// An encoder.
    pub(crate) fn encoder(&self, vad: bool) -> Encoder {
        // SAFETY: the function takes a flag and returns a channel or null.
        let channel = unsafe { self.function::<InitEncoder>("initBcg729EncoderChannel")(vad.into()) };
        Encoder {
            channel: NonNull::new(channel).expect("memory for an encoder"),
            encode: self.function("bcg729Encoder"),
            close: self.function("closeBcg729EncoderChannel"),
        }
    }
}

/// A decoder of bcg729. It must not outlive its [`Bcg729`].
pub(crate) struct Decoder {
    channel: NonNull<c_void>,
    decode: Decode,
    close: Close,
}

impl Decoder {
    /// Decodes a speech frame.
    pub(crate) fn decode(&mut self, octets: &[u8; 10], pcm: &mut [i16; FRAME_SAMPLES]) {
        let length = octets.len() as u8;
        // SAFETY: the channel is open; the header asks for a frame of `length` octets and room for 80 samples.
        unsafe { (self.decode)(self.channel.as_ptr(), octets.as_ptr(), length, 0, 0, 0, pcm.as_mut_ptr()) };
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the channel is open and is not used again.
        unsafe { (self.close)(self.channel.as_ptr()) };
    }
}

/// An encoder of bcg729. It must not outlive its [`Bcg729`].
pub(crate) struct Encoder {
    channel: NonNull<c_void>,
    encode: Encode,
    close: Close,
}

impl Encoder {
    /// Encodes a frame; returns how many octets were written.
    pub(crate) fn encode(&mut self, pcm: &[i16; FRAME_SAMPLES], octets: &mut [u8; 10]) -> u8 {
        let mut length = 0;
        // SAFETY: the channel is open; the header asks for 80 samples and room for ten octets.
        unsafe { (self.encode)(self.channel.as_ptr(), pcm.as_ptr(), octets.as_mut_ptr(), &raw mut length) };
        length
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: the channel is open and is not used again.
        unsafe { (self.close)(self.channel.as_ptr()) };
    }
}
