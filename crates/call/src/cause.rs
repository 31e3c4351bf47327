//! What one side's failure is called on the other side, and in the record.

use tandem_sip::StatusCode;

/// What the caller is told when the callee refused with `status`.
///
/// Most codes mean the same on both sides. The rest spoke of our own request, or of something the caller can do
/// nothing with.
pub(crate) fn status_for_caller(status: StatusCode) -> StatusCode {
    match status.as_u16() {
        // We do not follow redirections, and a Contact of the callee's network is not the caller's business.
        300..=399 => StatusCode::TEMPORARILY_UNAVAILABLE,
        // The callee's network wants what only the gateway's operator could give it, or objects to how we speak.
        400..=402 | 405 | 407 | 412..=416 | 420 | 421 | 481 | 489 | 493 | 494 => StatusCode::BAD_GATEWAY,
        // Media that does not fit.
        406 | 488 | 606 => StatusCode::NOT_ACCEPTABLE_HERE,
        // Answers to a CANCEL or a glare that were none of ours.
        487 | 491 => StatusCode::TEMPORARILY_UNAVAILABLE,
        _ => status,
    }
}

/// The cause value of Q.850 for a SIP status (RFC 3398 §8.2.6.1; 16 for success).
pub(crate) const fn q850(status: u16) -> u8 {
    match status {
        ..=299 => 16,
        400 | 481 => 41,
        401 | 402 | 403 | 407 | 603 => 21,
        404 | 485 | 604 => 1,
        405 => 63,
        406 | 415 | 501 | 488 | 606 => 79,
        408 | 504 => 102,
        410 => 22,
        413 | 414 | 416 | 420 | 421 | 423 | 505 | 513 => 127,
        480 => 18,
        482 | 483 => 25,
        484 => 28,
        486 | 600 => 17,
        487 => 31,
        500 => 41,
        502 => 38,
        503 => 41,
        _ => 31,
    }
}
