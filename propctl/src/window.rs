//! Weekly windows as people write them: `mon-fri 08:00-20:00`.

use propdev_proto::access::WeeklyWindow;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY_MINUTES: u32 = 24 * 60;

/// `mon-fri 08:00-20:00`, `sat,sun 10:00-02:00` (into the next day), `daily 00:00-24:00`.
pub(crate) fn parse(text: &str) -> Result<WeeklyWindow, String> {
    let mut parts = text.split_whitespace();
    let (Some(days), Some(span), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err("not DAYS FROM-TO such as 'mon-fri 08:00-20:00'".into());
    };
    let (from, to) = span
        .split_once('-')
        .ok_or_else(|| format!("'{span}' is not FROM-TO such as 08:00-20:00"))?;
    let from_minute = minute(from)?;
    if from_minute == DAY_MINUTES {
        return Err("a window begins at 23:59 at the latest".into());
    }
    // The midnight that ends a day is its minute 1440 in the contract.
    let to_minute = match minute(to)? {
        0 => DAY_MINUTES,
        other => other,
    };
    Ok(WeeklyWindow {
        weekdays: weekdays(days)?,
        from_minute,
        to_minute,
    })
}

/// ISO 8601 numbers in order, each once.
fn weekdays(text: &str) -> Result<Vec<u32>, String> {
    let mut chosen = [false; 7];
    for part in text.split(',') {
        if matches!(part.to_ascii_lowercase().as_str(), "daily" | "all") {
            chosen = [true; 7];
            continue;
        }
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(part)?, day(part)?),
        };
        // `fri-mon` runs over the weekend.
        for step in 0..=(last + 7 - first) % 7 {
            chosen[(first + step) % 7] = true;
        }
    }
    Ok((1..)
        .zip(chosen)
        .filter_map(|(number, is)| is.then_some(number))
        .collect())
}

fn day(text: &str) -> Result<usize, String> {
    let lower = text.to_ascii_lowercase();
    DAYS.iter()
        .position(|day| *day == lower)
        .ok_or_else(|| format!("'{text}' is no day: {}", DAYS.join(", ")))
}

fn minute(text: &str) -> Result<u32, String> {
    let digits = |part: &str| {
        (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()))
            .then(|| part.parse::<u32>().ok())
            .flatten()
    };
    text.split_once(':')
        .and_then(|(hours, minutes)| Some((digits(hours)?, digits(minutes)?)))
        .filter(|&(hours, minutes)| hours < 24 && minutes < 60 || (hours, minutes) == (24, 0))
        .map(|(hours, minutes)| hours * 60 + minutes)
        .ok_or_else(|| format!("'{text}' is no time of day such as 08:00"))
}

/// The reverse of [`parse`], days listed singly.
pub(crate) fn show(window: &WeeklyWindow) -> String {
    let days = if window.weekdays.len() == DAYS.len() {
        "daily".into()
    } else {
        let names: Vec<&str> = window
            .weekdays
            .iter()
            .filter_map(|number| DAYS.get((*number as usize).checked_sub(1)?).copied())
            .collect();
        names.join(",")
    };
    let time = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
    format!(
        "{days} {}-{}",
        time(window.from_minute),
        time(window.to_minute)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(weekdays: &[u32], from_minute: u32, to_minute: u32) -> WeeklyWindow {
        WeeklyWindow {
            weekdays: weekdays.to_vec(),
            from_minute,
            to_minute,
        }
    }

    #[test]
    fn windows_are_read() {
        for (text, wanted) in [
            ("mon-fri 08:00-20:00", window(&[1, 2, 3, 4, 5], 480, 1200)),
            ("  SAT,Sun   10:00-02:00 ", window(&[6, 7], 600, 120)),
            ("fri-mon 00:00-24:00", window(&[1, 5, 6, 7], 0, 1440)),
            ("mon,mon-wed 09:30-00:00", window(&[1, 2, 3], 570, 1440)),
            ("daily 23:59-00:01", window(&[1, 2, 3, 4, 5, 6, 7], 1439, 1)),
            ("sun 08:00-08:00", window(&[7], 480, 480)),
        ] {
            assert_eq!(parse(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for text in [
            "",
            "mon",
            "08:00-20:00",
            "mon 08:00",
            "mon 8:00-20:00",
            "mon 08:00-25:00",
            "mon 24:00-08:00",
            "mon 08:60-20:00",
            "mon 08:00-24:01",
            "funday 08:00-20:00",
            "mon- 08:00-20:00",
            "mon, 08:00-20:00",
            "mon 08:00-20:00 extra",
            "mon +8:00-20:00",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_window_is_shown_as_it_is_written() {
        for text in [
            "mon,tue 08:00-20:00",
            "daily 00:00-24:00",
            "sun 22:00-06:00",
        ] {
            assert_eq!(show(&parse(text).expect(text)), text);
        }
    }
}
