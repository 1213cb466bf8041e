//! Kafka's variable-length integers: base 128, least significant group first, zigzag signed.

/// Bytes of the longest varint (64 bits).
pub(super) const VARINT_LEN_MAX: usize = 10;

/// A position in bytes. `None` means "not inside these bytes, or not a varint"; the position is then unspecified.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub(super) data: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    #[inline]
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    #[inline(always)]
    pub(super) fn byte(&mut self) -> Option<u8> {
        let byte = *self.data.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    #[inline(always)]
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.data.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// A signed 32-bit varint of at most 5 bytes.
    #[inline(always)]
    pub(super) fn varint(&mut self) -> Option<i32> {
        let raw = self.raw()?;
        let raw = u32::try_from(raw).ok()?;
        Some(((raw >> 1) as i32) ^ -((raw & 1) as i32))
    }

    /// A signed 64-bit varint of at most 10 bytes.
    #[inline(always)]
    pub(super) fn varlong(&mut self) -> Option<i64> {
        let raw = self.raw()?;
        Some(((raw >> 1) as i64) ^ -((raw & 1) as i64))
    }

    /// A length that may be -1 (null): the bytes it announces.
    #[inline(always)]
    #[allow(clippy::option_option, reason = "null is a value here, the outer None is the parser's")]
    pub(super) fn nullable(&mut self) -> Option<Option<&'a [u8]>> {
        match self.varint()? {
            -1 => Some(None),
            length => Some(Some(self.take(usize::try_from(length).ok()?)?)),
        }
    }

    #[inline(always)]
    fn raw(&mut self) -> Option<u64> {
        let first = *self.data.get(self.at)?;
        if first < 0x80 {
            self.at += 1;
            return Some(u64::from(first));
        }
        let second = *self.data.get(self.at + 1)?;
        if second < 0x80 {
            self.at += 2;
            return Some(u64::from(first & 0x7f) | u64::from(second) << 7);
        }
        self.raw_long()
    }

    fn raw_long(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for (index, &byte) in self.data.get(self.at..)?.iter().take(VARINT_LEN_MAX).enumerate() {
            let group = u64::from(byte & 0x7f);
            if index == VARINT_LEN_MAX - 1 && group > 1 {
                return None;
            }
            value |= group << (7 * index);
            if byte < 0x80 {
                self.at += index + 1;
                return Some(value);
            }
        }
        None
    }
}

#[inline(always)]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Bytes that `value` takes as a varint.
#[inline(always)]
pub(super) fn varint_len(value: i64) -> usize {
    (70 - (zigzag(value) | 1).leading_zeros() as usize) / 7
}

/// Bytes of one record assembled on the stack before they are copied out at once.
pub(super) struct Small<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Small<N> {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    #[inline(always)]
    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    #[inline(always)]
    pub(super) fn varint(&mut self, value: i64) {
        let mut rest = zigzag(value);
        while rest >= 0x80 {
            self.byte(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.byte(rest as u8);
    }

    #[inline(always)]
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_varint_reads_back_and_has_the_announced_length(value: i64) {
            let mut small = Small::<VARINT_LEN_MAX>::new();
            small.varint(value);
            prop_assert_eq!(small.as_slice().len(), varint_len(value));
            let mut reader = Reader::new(small.as_slice());
            prop_assert_eq!(reader.varlong(), Some(value));
            prop_assert_eq!(reader.at, small.as_slice().len());
            let mut reader = Reader::new(small.as_slice());
            prop_assert_eq!(reader.varint(), i32::try_from(value).ok());
        }

        #[test]
        fn any_bytes_are_a_varint_or_none(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            if reader.varlong().is_some() {
                prop_assert!(reader.at <= bytes.len() && reader.at <= VARINT_LEN_MAX);
            }
        }
    }

    #[test]
    fn a_varint_of_eleven_groups_or_65_bits_is_refused() {
        assert_eq!(Reader::new(&[0xff; 11]).varlong(), None);
        let mut bits = [0xff; 10];
        bits[9] = 0x02;
        assert_eq!(Reader::new(&bits).varlong(), None);
        bits[9] = 0x01;
        assert_eq!(Reader::new(&bits).varlong(), Some(i64::MIN));
    }
}
