//! Certificates that are no longer believed, though their CA is: until they
//! expire, or the CA is replaced.

use std::{collections::HashSet, str::FromStr};

use ring::digest::{SHA256, digest};
use rustls::{CertificateError, Error, pki_types::CertificateDer};
use x509_parser::prelude::{FromDer, X509Certificate};

const THUMBPRINT: usize = 32;
/// RFC 5280, section 4.1.2.2.
const LONGEST_SERIAL: usize = 20;

/// One a line, in hexadecimal, colons ignored: a serial number, whoever issued
/// it, or the SHA-256 of the whole certificate. `#` begins a comment.
#[derive(Debug, Default)]
pub(super) struct DenyList {
    serials: HashSet<Vec<u8>>,
    thumbprints: HashSet<[u8; THUMBPRINT]>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {0} is neither a serial number nor a SHA-256 thumbprint in hexadecimal")]
pub(super) struct Malformed(usize);

impl FromStr for DenyList {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut list = Self::default();
        for (index, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default().trim();
            if entry.is_empty() {
                continue;
            }
            let bytes = from_hex(entry).ok_or(Malformed(index + 1))?;
            if let Ok(thumbprint) = <[u8; THUMBPRINT]>::try_from(bytes.as_slice()) {
                list.thumbprints.insert(thumbprint);
            } else if bytes.len() <= LONGEST_SERIAL {
                list.serials.insert(significant(&bytes).to_vec());
            } else {
                return Err(Malformed(index + 1));
            }
        }
        Ok(list)
    }
}

impl DenyList {
    /// An error for a chain that holds a certificate of the list.
    pub(super) fn check(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
    ) -> Result<(), Error> {
        if std::iter::once(leaf)
            .chain(above)
            .any(|one| self.names(one))
        {
            return Err(CertificateError::Revoked.into());
        }
        Ok(())
    }

    fn names(&self, certificate: &[u8]) -> bool {
        if self.serials.is_empty() && self.thumbprints.is_empty() {
            return false;
        }
        let thumbprint = digest(&SHA256, certificate);
        if self.thumbprints.contains::<[u8]>(thumbprint.as_ref()) {
            return true;
        }
        match X509Certificate::from_der(certificate) {
            Ok((_, parsed)) => self
                .serials
                .contains::<[u8]>(significant(parsed.raw_serial())),
            // Whether it is on the list cannot be told.
            Err(_) => true,
        }
    }
}

/// Without leading zeros, which tools print or leave out as they like.
fn significant(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|&&byte| byte == 0).count();
    &serial[zeros..]
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let mut digits: Vec<char> = text.chars().filter(|c| *c != ':').collect();
    if digits.len() % 2 == 1 {
        digits.insert(0, '0');
    }
    let bytes = digits
        .chunks_exact(2)
        .map(|pair| {
            let byte = pair[0].to_digit(16)? << 4 | pair[1].to_digit(16)?;
            u8::try_from(byte).ok()
        })
        .collect::<Option<Vec<u8>>>()?;
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, SerialNumber};

    use super::*;

    fn certificate(serial: &[u8]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from_slice(serial));
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("signed").der().clone()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_serial_number_and_a_thumbprint_are_found_as_tools_print_them() {
        let one = certificate(&[0x0a, 0xbc, 0xff]);
        let other = certificate(&[0x0a, 0xbc, 0xfe]);
        let thumbprint = hex(digest(&SHA256, &one).as_ref());
        let pairs: Vec<&str> = (0..32).map(|i| &thumbprint[2 * i..2 * i + 2]).collect();
        for text in [
            "0abcff".to_owned(),
            "ABCFF".to_owned(),
            "000000:0a:bc:ff  # stolen".to_owned(),
            format!("# a comment\n\n01\n{thumbprint}\n"),
            pairs.join(":").to_uppercase(),
        ] {
            let list: DenyList = text.parse().expect("a list");
            assert!(list.check(&one, &[]).is_err(), "{text}");
            assert!(list.check(&other, &[]).is_ok(), "{text}");
            let above = std::slice::from_ref(&one);
            assert!(list.check(&other, above).is_err(), "{text}");
        }
        assert!(DenyList::default().check(&one, &[]).is_ok());
    }

    #[test]
    fn a_line_that_is_neither_is_named() {
        let long = "a".repeat(42);
        for (text, line) in [
            ("01\nstolen", 2),
            ("::", 1),
            ("0x01", 1),
            ("\n\n1 2", 3),
            (long.as_str(), 1),
        ] {
            assert_eq!(
                text.parse::<DenyList>().err(),
                Some(Malformed(line)),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC*") {
            let _ = text.parse::<DenyList>();
        }
    }
}
