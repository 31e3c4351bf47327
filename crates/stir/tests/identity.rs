//! Tokens against OpenSSL's keys, certificates and signatures, and against whatever else a header may hold.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

#[path = "properties/bodies.rs"]
mod bodies;

use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use tandem_stir::{
    Attestation, Call, CertificateError, Certificates, Claims, Failure, Form, Identity, KeyError, Signer, verify,
};

const URL: &str = "https://cert.example.org/passport.pem";

/// A folder with an authority, a certificate of its and another's, made by OpenSSL; gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tandem-stir-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let folder = Self(path);
        folder.run(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=sti-ca -keyout ca.key -out ca.pem
             openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=other -keyout other.key -out other.pem
             openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=SHAKEN 1234' -keyout sp.key -out sp.csr
             printf 'basicConstraints=critical,CA:FALSE\n1.3.6.1.5.5.7.1.26=DER:30:08:a0:06:16:04:31:32:33:34' >sp.ext
             openssl x509 -req -days 30 -in sp.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile sp.ext -out sp.pem
             openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=rsa -keyout rsa.key -out rsa.pem",
        );
        folder
    }

    fn run(&self, script: &str) {
        let output = Command::new("sh").args(["-ec", script]).current_dir(&self.0).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(Path::new(&self.0).join(name)).unwrap()
    }

    fn certificates(&self) -> Certificates {
        let mut certificates = Certificates::new(&self.read("ca.pem")).unwrap();
        certificates.insert(URL, &self.read("sp.pem")).unwrap();
        certificates
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn number(text: &str) -> Identity {
    Identity::of(text, "example.com", None)
}

fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn claims(attestation: Option<Attestation>, issued_at: u64) -> Claims {
    Claims {
        attestation,
        destinations: vec![number("+12155551213")],
        issued_at,
        origin: number("+12155551212"),
        origin_id: attestation.map(|_| "123e4567-e89b-12d3-a456-426655440000".to_owned()).unwrap_or_default(),
    }
}

struct Check {
    origin: Identity,
    destination: Identity,
    now: u64,
    date: Option<u64>,
}

impl Check {
    fn at(now: u64) -> Self {
        Self { origin: number("+12155551212"), destination: number("+1 215 555 1213"), now, date: Some(now) }
    }

    fn verify(&self, value: &str, certificates: &mut Certificates) -> Result<Option<Attestation>, Failure> {
        let call = Call {
            origins: std::slice::from_ref(&self.origin),
            destinations: std::slice::from_ref(&self.destination),
            date: self.date,
            now: self.now,
            freshness_s: 60,
        };
        verify(value, &call, certificates).map(|verified| verified.attestation)
    }
}

#[test]
fn what_is_signed_is_verified_for_its_call_and_its_time_alone() {
    let folder = Folder::new("round");
    let mut certificates = folder.certificates();
    let signer = Signer::new(&folder.read("sp.key"), URL).unwrap();
    let now = now();
    for attestation in [None, Some(Attestation::A), Some(Attestation::B), Some(Attestation::C)] {
        for form in [Form::Full, Form::Compact] {
            let value = signer.sign(&claims(attestation, now), form).unwrap();
            assert_eq!(value.starts_with(".."), attestation.is_none() && form == Form::Compact);
            let verified = Check::at(now).verify(&value, &mut certificates);
            assert_eq!(verified, Ok(attestation), "{value}");
        }
    }
    let value = signer.sign(&claims(Some(Attestation::A), now), Form::Full).unwrap();
    let mut check = |change: &dyn Fn(&mut Check)| {
        let mut changed = Check::at(now);
        change(&mut changed);
        changed.verify(&value, &mut certificates)
    };
    assert_eq!(check(&|check| check.now += 60), Ok(Some(Attestation::A)));
    assert_eq!(check(&|check| check.now += 61), Err(Failure::Stale));
    assert_eq!(check(&|check| check.now += 40 * 86_400), Err(Failure::Untrusted), "the certificate has expired");
    assert_eq!(check(&|check| check.origin = number("+12155551219")), Err(Failure::Origin));
    assert_eq!(check(&|check| check.destination = number("+12155551219")), Err(Failure::Destination));
    let early = signer.sign(&claims(Some(Attestation::A), now + 61), Form::Full).unwrap();
    assert_eq!(Check::at(now).verify(&early, &mut certificates), Err(Failure::Stale));
    // A compact token is made anew of the message, so that another message has another signature.
    let compact = signer.sign(&claims(None, now), Form::Compact).unwrap();
    let mut other = Check::at(now);
    other.destination = number("+12155551219");
    assert_eq!(other.verify(&compact, &mut certificates), Err(Failure::Signature));
    let undated = Check { date: None, ..Check::at(now) };
    assert_eq!(undated.verify(&compact, &mut certificates), Err(Failure::Token));
}

#[test]
fn anything_changed_in_a_token_is_seen() {
    let folder = Folder::new("tampered");
    let mut certificates = folder.certificates();
    let now = now();
    let value = Signer::new(&folder.read("sp.key"), URL).unwrap().sign(&claims(Some(Attestation::B), now), Form::Full);
    let value = value.unwrap();
    let end = value.find(';').unwrap();
    for at in 0..end {
        let mut octets = value.clone().into_bytes();
        octets[at] = if octets[at] == b'A' { b'B' } else { b'A' };
        let tampered = String::from_utf8(octets).unwrap();
        assert!(Check::at(now).verify(&tampered, &mut certificates).is_err(), "octet {at}");
    }
    for (from, to, failure) in [
        ("alg=ES256", "alg=HS256", Failure::Unsupported),
        ("ppt=shaken", "ppt=div", Failure::Unsupported),
        (";ppt=shaken", "", Failure::Unsupported),
        ("passport.pem>", "other.pem>", Failure::Token),
    ] {
        let changed = value.replace(from, to);
        assert_eq!(Check::at(now).verify(&changed, &mut certificates), Err(failure), "{changed}");
    }
}

#[test]
fn a_signature_counts_only_with_a_certificate_that_is_known_and_vouched_for() {
    let folder = Folder::new("trust");
    let now = now();
    let sign = |key: &str, url: &str| {
        Signer::new(&folder.read(key), url).unwrap().sign(&claims(Some(Attestation::A), now), Form::Full).unwrap()
    };
    let mut certificates = folder.certificates();
    assert_eq!(certificates.insert(URL, &folder.read("rsa.pem")), Err(CertificateError::NotP256));
    assert_eq!(certificates.insert(URL, b"nothing"), Err(CertificateError::NotPem));
    assert_eq!((certificates.len(), certificates.is_empty()), (1, false));
    certificates.insert("https://elsewhere.example/self.pem", &folder.read("other.pem")).unwrap();
    let mut verify = |value: &str| Check::at(now).verify(value, &mut certificates);
    assert_eq!(verify(&sign("sp.key", URL)), Ok(Some(Attestation::A)));
    assert_eq!(verify(&sign("other.key", URL)), Err(Failure::Signature));
    assert_eq!(verify(&sign("other.key", "https://elsewhere.example/self.pem")), Err(Failure::Untrusted));
    assert_eq!(verify(&sign("sp.key", "https://unknown.example/")), Err(Failure::NoCertificate));
    assert!(matches!(Signer::new(&folder.read("rsa.key"), URL), Err(KeyError)));
    assert!(matches!(Signer::new(b"", URL), Err(KeyError)));
}

#[test]
fn openssl_verifies_what_is_signed_here_and_signs_what_is_verified_here() {
    let folder = Folder::new("openssl");
    let now = now();
    let value = Signer::new(&folder.read("sp.key"), URL).unwrap().sign(&claims(Some(Attestation::A), now), Form::Full);
    let value = value.unwrap();
    let token = value.split(';').next().unwrap();
    let (message, _) = token.rsplit_once('.').unwrap();
    std::fs::write(folder.0.join("message"), message).unwrap();
    std::fs::write(folder.0.join("token"), token).unwrap();
    // r and s as a DER sequence, which is what OpenSSL has, and back.
    let script = r#"
import base64, subprocess
def der(raw):
    def integer(octets):
        octets = octets.lstrip(b"\0")
        octets = (b"\0" + octets) if not octets or octets[0] & 0x80 else octets
        return b"\x02" + bytes([len(octets)]) + octets
    body = integer(raw[:32]) + integer(raw[32:])
    return b"\x30" + bytes([len(body)]) + body
def raw(der):
    r = der[4:4 + der[3]]; s = der[6 + der[3]:]
    return r.lstrip(b"\0").rjust(32, b"\0") + s.lstrip(b"\0").rjust(32, b"\0")
token = open("token").read()
ours = token.rsplit(".", 1)[1]
open("ours.der", "wb").write(der(base64.urlsafe_b64decode(ours + "=" * (-len(ours) % 4))))
subprocess.run("openssl x509 -in sp.pem -noout -pubkey >sp.pub && openssl dgst -sha256 -verify sp.pub -signature ours.der message", shell=True, check=True)
subprocess.run("openssl dgst -sha256 -sign sp.key -out theirs.der message", shell=True, check=True)
theirs = base64.urlsafe_b64encode(raw(open("theirs.der", "rb").read())).decode().rstrip("=")
open("theirs", "w").write(open("message").read() + "." + theirs)
"#;
    std::fs::write(folder.0.join("swap.py"), script).unwrap();
    folder.run("python3 swap.py");
    let theirs = String::from_utf8(folder.read("theirs")).unwrap();
    assert_ne!(theirs, token, "a signature of ECDSA is never the same twice");
    let value = value.replace(token, &theirs);
    assert_eq!(Check::at(now).verify(&value, &mut folder.certificates()), Ok(Some(Attestation::A)));
}

proptest! {
    #[test]
    fn any_octets_are_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        bodies::header(&octets);
        bodies::certificate(&octets);
    }

    #[test]
    fn anything_like_a_header_is_read_or_refused(
        parts in proptest::collection::vec(
            prop::sample::select(vec![
                "eyJhbGciOiJFUzI1NiJ9", ".", "..", ";", "info=", "<https://a>", "<", ">", "alg=ES256", "ppt=", "shaken", "\"", "=", " ", "+1(215)",
            ]),
            0..24,
        ),
    ) {
        bodies::header(parts.concat().as_bytes());
    }
}

#[test]
fn a_certificate_vouches_for_its_own_numbers_and_says_whose_it_is() {
    let folder = Folder::new("numbers");
    let now = now();
    // One number, a range, a service provider.
    let one = "30:0f:a2:0d:16:0b:31:32:31:35:35:35:35:31:32:31:32";
    let other = "30:0f:a2:0d:16:0b:31:32:31:35:35:35:35:31:32:31:33";
    let range = "30:14:a1:12:30:10:16:0b:31:32:31:35:35:35:35:31:32:30:30:02:01:64";
    for (list, is_covered, provider) in
        [(one, true, ""), (other, false, ""), (range, true, ""), ("30:08:a0:06:16:04:31:32:33:34", true, "1234")]
    {
        folder.run(&format!(
            "printf 'basicConstraints=critical,CA:FALSE\\n1.3.6.1.5.5.7.1.26=DER:{list}' >one.ext
             openssl x509 -req -days 30 -in sp.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile one.ext -out one.pem"
        ));
        let mut certificates = Certificates::new(&folder.read("ca.pem")).unwrap();
        certificates.insert(URL, &folder.read("one.pem")).unwrap();
        let signer = Signer::new(&folder.read("sp.key"), URL).unwrap();
        let value = signer.sign(&claims(Some(Attestation::A), now), Form::Full).unwrap();
        let (origins, destinations) = ([number("+12155551212")], [number("+12155551213")]);
        let call = Call { origins: &origins, destinations: &destinations, date: None, now, freshness_s: 60 };
        match verify(&value, &call, &mut certificates) {
            Ok(verified) => {
                assert!(is_covered, "{list}");
                assert_eq!((verified.service_provider.as_str(), verified.stale_at), (provider, now + 60));
            }
            Err(why) => assert_eq!((why, why.status(), is_covered), (Failure::Unauthorized, 437, false), "{list}"),
        }
    }
    folder.run(
        "printf 'basicConstraints=critical,CA:FALSE\\n1.3.6.1.5.5.7.1.26=DER:30:00' >bad.ext
         openssl x509 -req -days 30 -in sp.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile bad.ext -out bad.pem",
    );
    let refused = Certificates::default().insert(URL, &folder.read("bad.pem")).unwrap_err();
    assert_eq!(refused, CertificateError::Authority(tandem_stir::MalformedAuthority));
}
