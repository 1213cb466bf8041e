//! Times as text: RFC 3339 with milliseconds for JSON, IMF-fixdate (RFC 9110 §5.6.7) for the `Date` header.

/// Days since 1970-01-01 of a civil date (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, u8::try_from(month).unwrap_or(1), u8::try_from(day).unwrap_or(1))
}

fn two(out: &mut [u8], value: u8) {
    out[0] = b'0' + value / 10 % 10;
    out[1] = b'0' + value % 10;
}

/// Formats times and remembers the last second, which is nearly always the next one asked for.
pub struct Clock {
    second: i64,
    text: [u8; 24],
    date_second: i64,
    date: [u8; 29],
}

impl Default for Clock {
    fn default() -> Self {
        let mut clock = Self { second: -1, text: [0; 24], date_second: -1, date: [0; 29] };
        clock.timestamp(0);
        clock.date(0);
        clock
    }
}

impl Clock {
    /// `2026-11-23T12:34:56.789Z` for milliseconds since the Unix epoch. Years outside 0 to 9999 are clamped.
    pub fn timestamp(&mut self, ms: i64) -> &[u8; 24] {
        let ms = ms.clamp(-62_167_219_200_000, 253_402_300_799_999);
        let second = ms.div_euclid(1000);
        if second != self.second {
            self.second = second;
            let (year, month, day) = civil_from_days(second.div_euclid(86_400));
            let of_day = second.rem_euclid(86_400);
            let year = u16::try_from(year).unwrap_or(0);
            let text = &mut self.text;
            two(&mut text[0..2], u8::try_from(year / 100).unwrap_or(0));
            two(&mut text[2..4], u8::try_from(year % 100).unwrap_or(0));
            text[4] = b'-';
            two(&mut text[5..7], month);
            text[7] = b'-';
            two(&mut text[8..10], day);
            text[10] = b'T';
            two(&mut text[11..13], u8::try_from(of_day / 3600).unwrap_or(0));
            text[13] = b':';
            two(&mut text[14..16], u8::try_from(of_day / 60 % 60).unwrap_or(0));
            text[16] = b':';
            two(&mut text[17..19], u8::try_from(of_day % 60).unwrap_or(0));
            text[19] = b'.';
            text[23] = b'Z';
        }
        let part = u16::try_from(ms.rem_euclid(1000)).unwrap_or(0);
        self.text[20] = b'0' + u8::try_from(part / 100).unwrap_or(0);
        two(&mut self.text[21..23], u8::try_from(part % 100).unwrap_or(0));
        &self.text
    }

    /// `Mon, 23 Nov 2026 12:34:56 GMT` for nanoseconds since the Unix epoch.
    pub fn date(&mut self, ns: i64) -> &[u8; 29] {
        const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
        const MONTHS: [&[u8; 3]; 12] =
            [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
        let second = ns.div_euclid(1_000_000_000).clamp(0, 253_402_300_799);
        if second != self.date_second {
            self.date_second = second;
            let days = second / 86_400;
            let (year, month, day) = civil_from_days(days);
            let of_day = second % 86_400;
            let year = u16::try_from(year).unwrap_or(0);
            let date = &mut self.date;
            date.copy_from_slice(b"Thu, 00 Jan 0000 00:00:00 GMT");
            date[0..3].copy_from_slice(DAYS[usize::try_from(days % 7).unwrap_or(0)]);
            two(&mut date[5..7], day);
            date[8..11].copy_from_slice(MONTHS[usize::from(month) - 1]);
            two(&mut date[12..14], u8::try_from(year / 100).unwrap_or(0));
            two(&mut date[14..16], u8::try_from(year % 100).unwrap_or(0));
            two(&mut date[17..19], u8::try_from(of_day / 3600).unwrap_or(0));
            two(&mut date[20..22], u8::try_from(of_day / 60 % 60).unwrap_or(0));
            two(&mut date[23..25], u8::try_from(of_day % 60).unwrap_or(0));
        }
        &self.date
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 9 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    text.iter().try_fold(0i64, |value, digit| Some(value * 10 + i64::from(digit - b'0')))
}

/// Nanoseconds since the Unix epoch of an RFC 3339 time (`Z` or an offset, up to nine fraction digits).
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let b = text.as_bytes();
    if b.len() < 20
        || b[4] != b'-'
        || b[7] != b'-'
        || !matches!(b[10], b'T' | b't' | b' ')
        || b[13] != b':'
        || b[16] != b':'
    {
        return None;
    }
    let (year, month, day) = (digits(&b[0..4])?, digits(&b[5..7])?, digits(&b[8..10])?);
    let (hour, minute, second) = (digits(&b[11..13])?, digits(&b[14..16])?, digits(&b[17..19])?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = &b[19..];
    let mut fraction = 0;
    if rest[0] == b'.' {
        let end = rest[1..].iter().position(|c| !c.is_ascii_digit())? + 1;
        let value = digits(&rest[1..end])?;
        fraction = value * 10i64.pow(u32::try_from(10 - end).ok()?);
        rest = &rest[end..];
    }
    let offset_s = match rest {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let seconds = digits(&[*h1, *h2])? * 3600 + digits(&[*m1, *m2])? * 60;
            if *sign == b'+' {
                seconds
            } else {
                -seconds
            }
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset_s;
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction)
}

/// Nanoseconds of a duration like `10m`, `1h30m`, `250ms`, `1.5s`, `2d` (Go's units, and days).
#[must_use]
pub fn parse_duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0i64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..unit_end] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            "d" => 86_400e9,
            _ => return None,
        };
        rest = &rest[unit_end..];
        let ns = value * unit;
        if !(0.0..9e18).contains(&ns) {
            return None;
        }
        #[allow(clippy::cast_possible_truncation)] // bounded above
        let ns = ns as i64;
        total = total.checked_add(ns)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(ms: i64) -> String {
        String::from_utf8(Clock::default().timestamp(ms).to_vec()).unwrap()
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        assert_eq!(stamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(stamp(1_795_437_296_789), "2026-11-23T12:34:56.789Z");
        assert_eq!(stamp(951_782_400_001), "2000-02-29T00:00:00.001Z");
        assert_eq!(stamp(i64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(stamp(-1), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn dates_are_imf_fixdate() {
        let mut clock = Clock::default();
        assert_eq!(clock.date(784_111_777_000_000_000), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(clock.date(1_795_437_296_789_000_000), b"Mon, 23 Nov 2026 12:34:56 GMT");
    }

    #[test]
    fn times_and_durations_parse() {
        assert_eq!(parse_rfc3339("2026-11-23T12:34:56.789Z"), Some(1_795_437_296_789_000_000));
        assert_eq!(parse_rfc3339("2026-11-23T13:34:56+01:00"), Some(1_795_437_296_000_000_000));
        for bad in ["", "2026-11-23", "2026-13-23T12:34:56Z", "2026-11-23T12:34:56", "2026-11-23T12:34:56.Z"]
        {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
        assert_eq!(parse_duration("1h30m"), Some(5_400_000_000_000));
        assert_eq!(parse_duration("1.5s"), Some(1_500_000_000));
        for bad in ["", "5", "m", "1x", "-1s", "999999999999h"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
