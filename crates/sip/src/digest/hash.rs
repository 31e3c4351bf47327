//! The hash functions and what is hashed with them.

use core::fmt;

use md5::Md5;
use sha2::{Sha256, Sha512_256};

/// A hash function of RFC 7616 section 6.1, without its `-sess` form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Algorithm {
    /// MD5: broken as a hash, and what most telephones have.
    Md5,
    /// SHA-256.
    Sha256,
    /// SHA-512/256 (FIPS 180-4 section 6.7).
    Sha512T256,
}

impl Algorithm {
    /// All of them, the strongest first.
    pub const ALL: [Self; 3] = [Self::Sha512T256, Self::Sha256, Self::Md5];

    /// The name in `algorithm=`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512T256 => "SHA-512-256",
        }
    }

    /// The algorithm with that name, in any case.
    pub fn lookup(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name))
    }

    /// Octets of a hash.
    pub const fn hash_bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha256 | Self::Sha512T256 => 32,
        }
    }

    /// The hash of `parts` with a colon between each two.
    fn hash(self, parts: &[&[u8]]) -> [u8; 32] {
        fn run<D: sha2::Digest>(parts: &[&[u8]], hash: &mut [u8; 32]) {
            let mut state = D::new();
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    state.update(b":");
                }
                state.update(part);
            }
            let result = state.finalize();
            hash[..result.len()].copy_from_slice(&result);
        }
        let mut hash = [0; 32];
        match self {
            Self::Md5 => run::<Md5>(parts, &mut hash),
            Self::Sha256 => run::<Sha256>(parts, &mut hash),
            Self::Sha512T256 => run::<Sha512_256>(parts, &mut hash),
        }
        hash
    }

    fn hex_hash(self, parts: &[&[u8]]) -> Hex {
        Hex::of(&self.hash(parts)[..self.hash_bytes()])
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The hash of user name, realm and password (`A1`, RFC 7616 section 3.4.2): all that a server has to keep of a password,
/// and as good as the password within that realm.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ha1 {
    algorithm: Algorithm,
    hash: [u8; 32],
}

impl Ha1 {
    /// Hashes a password.
    pub fn new(algorithm: Algorithm, username: &str, realm: &str, password: &str) -> Self {
        let hash = algorithm.hash(&[username.as_bytes(), realm.as_bytes(), password.as_bytes()]);
        Self { algorithm, hash }
    }

    /// Takes what [`Ha1::to_hex`] gave, or `htdigest` and other servers; `None` when it is no hash of that algorithm.
    pub fn from_hex(algorithm: Algorithm, text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        let bytes = &mut hash[..algorithm.hash_bytes()];
        unhex(text, bytes).then_some(Self { algorithm, hash })
    }

    /// A hash that no password is known for.
    pub(super) const fn from_random(algorithm: Algorithm, hash: [u8; 32]) -> Self {
        Self { algorithm, hash }
    }

    /// Which hash function it is of.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash in lower-case hexadecimal, to be kept.
    pub fn to_hex(&self) -> String {
        self.hex().as_str().to_owned()
    }

    fn hex(&self) -> Hex {
        Hex::of(&self.hash[..self.algorithm.hash_bytes()])
    }

    /// The `response` to a challenge (RFC 7616 section 3.4.1), in hexadecimal.
    pub fn response(&self, question: &Question<'_>) -> String {
        self.hex_response(question).as_str().to_owned()
    }

    /// Whether `response` is right, in a time that does not depend on where it is wrong.
    pub fn verify(&self, question: &Question<'_>, response: &str) -> bool {
        let mut given = [0; 32];
        let given = &mut given[..self.algorithm.hash_bytes()];
        let is_hex = unhex(response, given);
        let mut expected = [0; 32];
        let expected = &mut expected[..self.algorithm.hash_bytes()];
        unhex(self.hex_response(question).as_str(), expected);
        let difference = given.iter().zip(expected).fold(0, |all, (a, b)| all | (*a ^ *b));
        is_hex && core::hint::black_box(difference) == 0
    }

    fn hex_response(&self, question: &Question<'_>) -> Hex {
        let ha1 = self.hex();
        let ha2 = self.algorithm.hex_hash(&[question.method.as_bytes(), question.uri.as_bytes()]);
        match question.protection {
            Some((nc, cnonce)) => self.algorithm.hex_hash(&[
                ha1.as_bytes(),
                question.nonce.as_bytes(),
                nc.as_bytes(),
                cnonce.as_bytes(),
                b"auth",
                ha2.as_bytes(),
            ]),
            None => self.algorithm.hex_hash(&[ha1.as_bytes(), question.nonce.as_bytes(), ha2.as_bytes()]),
        }
    }
}

impl fmt::Debug for Ha1 {
    /// Shows nothing of the hash: whoever has it can register.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ha1({})", self.algorithm)
    }
}

/// What is answered with a `response`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// The request's method.
    pub method: &'a str,
    /// `uri=`: the Request-URI when the request was made.
    pub uri: &'a str,
    /// The server's nonce.
    pub nonce: &'a str,
    /// `nc` as its eight digits and `cnonce`, with `qop=auth`; `None` is the form of RFC 2069.
    pub protection: Option<(&'a str, &'a str)>,
}

/// A hash in hexadecimal.
pub(super) struct Hex {
    text: [u8; 64],
    len: usize,
}

impl Hex {
    pub(super) fn of(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        debug_assert!(bytes.len() <= 32);
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self { text, len: 2 * bytes.len() }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }

    pub(super) fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

/// Reads hexadecimal of exactly as many octets as `bytes` has, in either case.
pub(super) fn unhex(text: &str, bytes: &mut [u8]) -> bool {
    let digits = text.as_bytes();
    if digits.len() != 2 * bytes.len() {
        return false;
    }
    let digit = |c: u8| (c as char).to_digit(16).map(|value| value as u8);
    for (pair, byte) in digits.chunks_exact(2).zip(bytes) {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return false };
        *byte = high << 4 | low;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_2617_section_3_5_comes_out() {
        let ha1 = Ha1::new(Algorithm::Md5, "Mufasa", "testrealm@host.com", "Circle Of Life");
        assert_eq!(ha1.to_hex(), "939e7578ed9e3c518a452acee763bce9");
        let question = Question {
            method: "GET",
            uri: "/dir/index.html",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            protection: Some(("00000001", "0a4f113b")),
        };
        assert_eq!(ha1.response(&question), "6629fae49393a05397450978507c4ef1");
    }

    #[test]
    fn the_form_of_rfc_2069_comes_out() {
        // RFC 2617 section 3.5's values without qop, as RFC 2069 section 2.4 has them after its erratum 749.
        let ha1 = Ha1::new(Algorithm::Md5, "Mufasa", "testrealm@host.com", "CircleOfLife");
        let question = Question {
            method: "GET",
            uri: "/dir/index.html",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            protection: None,
        };
        assert_eq!(ha1.response(&question), "1949323746fe6a43ef61f9606e7febea");
    }

    #[test]
    fn the_examples_of_rfc_7616_section_3_9_1_come_out() {
        let question = Question {
            method: "GET",
            uri: "/dir/index.html",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            protection: Some(("00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")),
        };
        for (algorithm, response) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let ha1 = Ha1::new(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life");
            assert_eq!(ha1.response(&question), response);
            assert!(ha1.verify(&question, &response.to_ascii_uppercase()));
        }
    }

    #[test]
    fn the_example_of_rfc_7616_section_3_9_2_comes_out_as_its_erratum_4897_has_it() {
        let ha1 = Ha1::new(Algorithm::Sha512T256, "J\u{e4}s\u{f8}n Doe", "api@example.org", "Secret, or not?");
        let question = Question {
            method: "GET",
            uri: "/doe.json",
            nonce: "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            protection: Some(("00000001", "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v")),
        };
        assert_eq!(ha1.response(&question), "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5");
    }

    #[test]
    fn a_hash_survives_being_kept_and_is_never_shown() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::lookup(&algorithm.as_str().to_lowercase()), Some(algorithm));
            let ha1 = Ha1::new(algorithm, "a", "b", "c");
            assert_eq!(Ha1::from_hex(algorithm, &ha1.to_hex()), Some(ha1));
            assert!(!format!("{ha1:?}").contains(&ha1.to_hex()));
            for bad in ["", "0", "zz", &ha1.to_hex()[1..], &format!("{}00", ha1.to_hex())] {
                assert_eq!(Ha1::from_hex(algorithm, bad), None, "{bad}");
            }
        }
        assert_eq!(Algorithm::lookup("MD5-sess"), None);
    }
}
