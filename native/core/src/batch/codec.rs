//! The five codecs of the records: none, gzip, snappy (raw and xerial blocks), lz4 frames, zstd.
//!
//! Inflating counts what comes out, as it comes out: never more than `INFLATED_BYTES_MAX`, never more than
//! `INFLATED_RATIO_MAX` bytes for each compressed byte. Memory follows the output, not a length that the bytes claim.
use std::io::{Read, Write};

use super::BatchError;
use crate::limits::{INFLATED_BYTES_MAX, INFLATED_RATIO_MAX};
use crate::problem::Code;

/// First bytes of snappy blocks as the xerial library frames them (Kafka's Java clients).
const XERIAL_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// Magic, version and lowest compatible version.
const XERIAL_HEAD_LEN: usize = 16;
/// Bytes of records in one xerial block.
const XERIAL_BLOCK_LEN: usize = 32 * 1024;
/// Largest zstd window: what may come out at most, so that the decoder's own memory has the same bound.
const ZSTD_WINDOW_LOG_MAX: u32 = INFLATED_BYTES_MAX.ilog2();
const ZSTD_LEVEL: i32 = 3;

/// How the records of a batch are compressed; the numbers are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// As they are.
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Snappy, written in xerial blocks and read with or without them.
    Snappy = 2,
    /// LZ4 frames with independent blocks.
    Lz4 = 3,
    /// Zstandard (RFC 8878).
    Zstd = 4,
}

impl Codec {
    /// Every codec, in the order of the numbers.
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// The codec with this number, or `UnsupportedMediaType`.
    pub fn from_number(number: u8) -> Result<Codec, BatchError> {
        Self::ALL.get(usize::from(number)).copied().ok_or_else(|| {
            BatchError::new(Code::UnsupportedMediaType, 21, format!("codec {number} is not one of 0 to 4"))
        })
    }

    #[inline]
    pub(super) fn from_attributes(attributes: i16) -> Result<Codec, BatchError> {
        match attributes & 0x07 {
            0 => Ok(Codec::None),
            number => Self::from_number(number as u8),
        }
    }

    /// The codec's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }

    /// Inflates `source` into `out` (cleared first) within the bounds.
    pub(super) fn inflate(self, source: &[u8], out: &mut Vec<u8>) -> Result<(), BatchError> {
        out.clear();
        let bounds = Bounds::of(source.len());
        match self {
            Codec::None => {
                out.extend_from_slice(source);
                Ok(())
            }
            Codec::Gzip => bounds.read(self, flate2::bufread::MultiGzDecoder::new(source), out),
            Codec::Snappy if source.starts_with(&XERIAL_MAGIC) => inflate_xerial(source, &bounds, out),
            Codec::Snappy => inflate_snappy(source, &bounds, out),
            Codec::Lz4 => {
                let mut rest = source;
                bounds.read(self, lz4_flex::frame::FrameDecoder::new(&mut rest), out)?;
                if !rest.is_empty() {
                    return Err(corrupt(self, format!("{} bytes after the frame", rest.len())));
                }
                Ok(())
            }
            Codec::Zstd => {
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(source).map_err(|e| corrupt(self, e))?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|e| corrupt(self, e))?;
                bounds.read(self, decoder, out)
            }
        }
    }

    /// Appends `source`, compressed, to `out`.
    pub(super) fn deflate(self, source: &[u8], out: &mut Vec<u8>) -> Result<(), BatchError> {
        let written = match self {
            Codec::None => {
                out.extend_from_slice(source);
                Ok(())
            }
            Codec::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::default());
                encoder.write_all(source).and_then(|()| encoder.finish().map(|_| ()))
            }
            Codec::Snappy => deflate_xerial(source, out),
            Codec::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(out);
                encoder.write_all(source).and_then(|()| encoder.finish().map(|_| ()).map_err(Into::into))
            }
            Codec::Zstd => zstd::stream::copy_encode(source, out, ZSTD_LEVEL),
        };
        written.map_err(|error| corrupt(self, format!("compression failed: {error}")))
    }
}

#[cold]
fn corrupt(codec: Codec, reason: impl std::fmt::Display) -> BatchError {
    BatchError::invalid(super::HEADER_LEN, format!("{} records: {reason}", codec.as_str()))
}

/// How much may come out of some compressed bytes.
struct Bounds {
    bytes_max: usize,
    compressed: usize,
}

impl Bounds {
    fn of(compressed: usize) -> Self {
        Self { bytes_max: INFLATED_BYTES_MAX.min(compressed.saturating_mul(INFLATED_RATIO_MAX)), compressed }
    }

    fn check(&self, inflated: usize) -> Result<(), BatchError> {
        if inflated <= self.bytes_max {
            return Ok(());
        }
        let reason = if self.bytes_max == INFLATED_BYTES_MAX {
            format!("inflated records of more than inflated_bytes_max {INFLATED_BYTES_MAX} bytes")
        } else {
            let compressed = self.compressed;
            format!(
                "{compressed} bytes of records inflate by more than inflated_ratio_max {INFLATED_RATIO_MAX}"
            )
        };
        Err(BatchError::new(Code::TooLarge, super::HEADER_LEN, reason))
    }

    fn read(&self, codec: Codec, decoder: impl Read, out: &mut Vec<u8>) -> Result<(), BatchError> {
        // One byte more than allowed is enough to know; nothing beyond it is ever inflated.
        decoder.take(self.bytes_max as u64 + 1).read_to_end(out).map_err(|error| corrupt(codec, error))?;
        self.check(out.len())
    }
}

/// One raw snappy block: its claimed length is checked before memory is taken, the decoder holds it to the claim.
fn inflate_snappy(source: &[u8], bounds: &Bounds, out: &mut Vec<u8>) -> Result<(), BatchError> {
    let claimed = snap::raw::decompress_len(source).map_err(|error| corrupt(Codec::Snappy, error))?;
    let start = out.len();
    bounds.check(start.saturating_add(claimed))?;
    out.resize(start + claimed, 0);
    let written = snap::raw::Decoder::new()
        .decompress(source, &mut out[start..])
        .map_err(|error| corrupt(Codec::Snappy, error))?;
    debug_assert_eq!(written, claimed);
    Ok(())
}

fn inflate_xerial(source: &[u8], bounds: &Bounds, out: &mut Vec<u8>) -> Result<(), BatchError> {
    let mut rest = source.get(XERIAL_HEAD_LEN..).ok_or_else(|| {
        corrupt(Codec::Snappy, format!("xerial head of {} bytes is not {XERIAL_HEAD_LEN}", source.len()))
    })?;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(|| {
            corrupt(Codec::Snappy, format!("{} bytes after the last xerial block", rest.len()))
        })?;
        let length = u32::from_be_bytes(*length) as usize;
        let block = after.get(..length).ok_or_else(|| {
            corrupt(Codec::Snappy, format!("xerial block of {length} bytes ends outside of {}", after.len()))
        })?;
        inflate_snappy(block, bounds, out)?;
        rest = &after[length..];
    }
    Ok(())
}

fn deflate_xerial(source: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    out.extend_from_slice(&XERIAL_MAGIC);
    out.extend_from_slice(&1u32.to_be_bytes());
    out.extend_from_slice(&1u32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in source.chunks(XERIAL_BLOCK_LEN) {
        let packed = encoder.compress_vec(block)?;
        out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        out.extend_from_slice(&packed);
    }
    Ok(())
}
