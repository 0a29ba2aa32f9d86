//! What stands in a certificate, checked before anything is written.

use jiff::{ToSpan, tz::TimeZone};
use rcgen::{CertificateParams, DistinguishedName, DnType, SanType, date_time_ymd};

use super::{DevError, Names, Validity};

/// The longest that TLS clients accept of a leaf.
const MOST_DAYS: u32 = 825;

/// A macro, since the type it gives is of a crate that rcgen does not re-export.
macro_rules! midnight {
    ($day:expr) => {
        date_time_ymd(
            $day.year().into(),
            $day.month().unsigned_abs(),
            $day.day().unsigned_abs(),
        )
    };
}

pub(super) fn parameters(
    common_name: &str,
    validity: Validity,
) -> Result<CertificateParams, DevError> {
    let day = TimeZone::UTC.to_datetime(validity.from).date();
    let out_of_range = |_| DevError::Days(validity.days);
    let before = day.checked_sub(1.day()).map_err(out_of_range)?;
    let after = day
        .checked_add((i64::from(validity.days) + 1).days())
        .map_err(out_of_range)?;
    let mut params = CertificateParams::default();
    params.not_before = midnight!(before);
    params.not_after = midnight!(after);
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    Ok(params)
}

pub(super) fn checked(validity: Validity) -> Result<Validity, DevError> {
    if (1..=MOST_DAYS).contains(&validity.days) {
        Ok(validity)
    } else {
        Err(DevError::Days(validity.days))
    }
}

pub(super) fn alternative_names(names: &Names) -> Result<Vec<SanType>, DevError> {
    let mut all = Vec::with_capacity(names.dns.len() + names.ips.len() + 1);
    for name in &names.dns {
        let valid = !name.is_empty()
            && name.len() <= 253
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'*'));
        if !valid {
            return Err(DevError::DnsName(name.clone()));
        }
        all.push(SanType::DnsName(name.as_str().try_into()?));
    }
    all.extend(names.ips.iter().copied().map(SanType::IpAddress));
    Ok(all)
}

pub(super) fn check_trust_domain(domain: &str) -> Result<(), DevError> {
    let valid = (1..=255).contains(&domain.len())
        && domain.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_')
        });
    if valid {
        Ok(())
    } else {
        Err(DevError::TrustDomain(domain.into()))
    }
}
