//! Signatures of webhooks (Standard Webhooks): HMAC-SHA-256 over the call's id,
//! its time and its body, each as it was sent. The time that counts is an
//! argument, and a body of a megabyte is not copied to be looked at.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use mesh::crypto::{hmac_sha256, macs_equal};
use zeroize::Zeroizing;

/// How far from now a call may say that it was signed.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(5 * 60);
/// Signatures of one call that are looked at: one a secret, while they change.
const MOST_SIGNATURES: usize = 8;

/// With which a client signs.
pub(crate) struct SigningSecret {
    pub(crate) value: Zeroizing<Vec<u8>>,
    pub(crate) expires_at: Option<Timestamp>,
}

/// A call as it was signed.
pub(crate) struct Signed {
    pub(crate) id: String,
    /// Seconds since 1970-01-01.
    pub(crate) timestamp: String,
    /// `v1,<base64>`, several of them with spaces between.
    pub(crate) signature: String,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// Whether a call may be heard: of a client with secrets, one that is signed
/// with a live one, and not long ago. Where all have ended, none is.
pub(crate) fn is_good(secrets: &[SigningSecret], signed: Option<&Signed>, now: Timestamp) -> bool {
    if secrets.is_empty() {
        return true;
    }
    let live = |secret: &&SigningSecret| secret.expires_at.is_none_or(|end| now < end);
    signed.is_some_and(|signed| {
        signed.is_fresh(now) && secrets.iter().filter(live).any(|one| signed.is_by(one))
    })
}

impl Signed {
    fn is_fresh(&self, now: Timestamp) -> bool {
        let plain = self.timestamp.bytes().all(|b| b.is_ascii_digit());
        let at = self.timestamp.parse().ok().filter(|_| plain);
        at.and_then(|second| Timestamp::from_second(second).ok())
            .is_some_and(|at| now.duration_since(at).abs() <= TOLERANCE)
    }

    fn is_by(&self, secret: &SigningSecret) -> bool {
        let expected = hmac_sha256(
            &secret.value,
            &[
                self.id.as_bytes(),
                b".",
                self.timestamp.as_bytes(),
                b".",
                self.body.as_slice(),
            ],
        );
        !self.id.is_empty()
            && self
                .signature
                .split(' ')
                .filter_map(|one| one.strip_prefix("v1,"))
                .take(MOST_SIGNATURES)
                .filter_map(|text| STANDARD.decode(text).ok())
                .any(|offered| macs_equal(&expected, &offered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the standard's own libraries.
    const SECRET: &str = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const SIGNED_AT: i64 = 1_649_367_553;
    const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    fn secret(expires_at: Option<Timestamp>) -> SigningSecret {
        SigningSecret {
            value: Zeroizing::new(STANDARD.decode(SECRET).expect("base64")),
            expires_at,
        }
    }

    fn stranger() -> SigningSecret {
        SigningSecret {
            value: Zeroizing::new(vec![7; 32]),
            expires_at: None,
        }
    }

    fn signed() -> Signed {
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        Signed {
            id: "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk".into(),
            timestamp: SIGNED_AT.to_string(),
            signature: SIGNATURE.into(),
            body: Zeroizing::new(body.to_vec()),
        }
    }

    fn after(seconds: i64) -> Timestamp {
        Timestamp::from_second(SIGNED_AT + seconds).expect("a time")
    }

    #[test]
    fn what_the_standards_libraries_sign_is_good() {
        assert!(is_good(&[secret(None)], Some(&signed()), after(0)));
        let mut several = signed();
        several.signature = format!("v1,AAAA v1a,{SECRET} {SIGNATURE}");
        assert!(is_good(
            &[stranger(), secret(None)],
            Some(&several),
            after(1)
        ));
    }

    #[test]
    fn who_has_a_secret_must_sign_and_nobody_else() {
        assert!(is_good(&[], None, after(0)));
        assert!(is_good(&[], Some(&signed()), after(0)));
        assert!(!is_good(&[secret(None)], None, after(0)));
        assert!(!is_good(&[stranger()], Some(&signed()), after(0)));
    }

    #[test]
    fn any_change_spoils_it() {
        let spoilt: [fn(&mut Signed); 7] = [
            |one| one.id.push('x'),
            |one| one.id.clear(),
            |one| one.timestamp = (SIGNED_AT + 1).to_string(),
            |one| one.timestamp = format!("0{SIGNED_AT}"),
            |one| one.body.push(b' '),
            |one| one.signature = SIGNATURE.replace("v1,", "v2,"),
            |one| one.signature.clear(),
        ];
        for (index, spoil) in spoilt.into_iter().enumerate() {
            let mut call = signed();
            spoil(&mut call);
            assert!(!is_good(&[secret(None)], Some(&call), after(0)), "{index}");
        }
    }

    #[test]
    fn a_call_is_good_for_five_minutes() {
        for (seconds, good) in [(-301, false), (-300, true), (300, true), (301, false)] {
            let heard = is_good(&[secret(None)], Some(&signed()), after(seconds));
            assert_eq!(heard, good, "{seconds}");
        }
        for odd in ["", "+1649367553", "1649367553.0", "99999999999999999999"] {
            let mut call = signed();
            call.timestamp = odd.into();
            assert!(!is_good(&[secret(None)], Some(&call), after(0)), "{odd}");
        }
    }

    #[test]
    fn a_secret_that_has_ended_signs_nothing() {
        let ends = secret(Some(after(10)));
        assert!(is_good(&[ends], Some(&signed()), after(9)));
        let ended = secret(Some(after(10)));
        assert!(!is_good(&[ended], Some(&signed()), after(10)));
        let ended = secret(Some(after(10)));
        assert!(!is_good(&[ended], None, after(10)), "and still must sign");
    }
}
