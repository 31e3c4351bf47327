//! Signature Version 4 of what is posted (AWS General Reference, "Signing AWS API requests").

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::metadata::Credentials;

/// What is signed beside the credentials.
pub(crate) struct Request<'a> {
    pub(crate) host: &'a str,
    /// Of letters that need no encoding.
    pub(crate) path: &'a str,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
    /// As in `20150830T123600Z`.
    pub(crate) time: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) body: &'a str,
}

/// The value of the Authorization header.
pub(crate) fn authorization(credentials: &Credentials, request: &Request<'_>) -> String {
    let Request { host, path, region, service, time, content_type, body } = request;
    let day = time.get(..8).unwrap_or_default();
    let mut headers = format!("content-type:{content_type}\nhost:{host}\nx-amz-date:{time}\n");
    let mut names = "content-type;host;x-amz-date".to_owned();
    if let Some(token) = &credentials.session_token {
        headers += &format!("x-amz-security-token:{token}\n");
        names += ";x-amz-security-token";
    }
    let canonical = format!("POST\n{path}\n\n{headers}\n{names}\n{}", hex(&Sha256::digest(body)));
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let secret = format!("AWS4{}", credentials.secret_access_key);
    let key =
        [day, region, service, "aws4_request"].iter().fold(secret.into_bytes(), |key, part| mac(&key, part.as_bytes()));
    let signature = hex(&mac(&key, to_sign.as_bytes()));
    let id = &credentials.access_key_id;
    format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    #[expect(clippy::unwrap_used, reason = "HMAC takes keys of any length")]
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.chain_update(message).finalize().into_bytes().to_vec()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    /// The example of "Deriving the signing key" in the AWS General Reference.
    #[test]
    fn the_signing_key_is_that_of_the_published_example() {
        let secret = b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_vec();
        let key = ["20150830", "us-east-1", "iam", "aws4_request"]
            .iter()
            .fold(secret, |key, part| mac(&key, part.as_bytes()));
        assert_eq!(key, hex!("c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"));
    }

    /// The published test suite's `post-x-www-form-urlencoded`.
    #[test]
    fn a_posted_form_is_signed_as_in_the_published_suite() {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
            expires_at: None,
        };
        let request = Request {
            host: "example.amazonaws.com",
            path: "/",
            region: "us-east-1",
            service: "service",
            time: "20150830T123600Z",
            content_type: "application/x-www-form-urlencoded",
            body: "Param1=value1",
        };
        assert_eq!(
            authorization(&credentials, &request),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        );
    }
}
