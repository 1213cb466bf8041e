//! One message by its offset: from memory, or from a page of what memory let go.

use super::page::{Page, Want};
use super::Edge;
use crate::log::Found;
use crate::problem::{Code, Problem};

/// What is known of an offset.
pub enum Lookup {
    /// The record.
    Found(Found),
    /// Only the disk has it: to be asked again with a page that was read for this.
    OnDisk(Want),
    /// Nothing that readers may see has this offset yet.
    Unknown,
}

impl Edge {
    /// The record at `offset` of a partition; `page` is what the disk gave for an earlier [`Lookup::OnDisk`].
    ///
    /// # Errors
    /// `offset_expired` for what is no longer retained, outlived its lifetime, or is damaged on disk.
    pub fn look_up(
        &mut self,
        handle: u32,
        offset: u64,
        page: Option<&Page>,
        now_ns: i64,
    ) -> Result<Lookup, Problem> {
        let log = &mut self.log;
        log.settle(handle);
        let part = log.part(handle);
        if offset >= part.visible {
            return Ok(Lookup::Unknown);
        }
        let gone = |why: &str| Problem::new(Code::OffsetExpired, format!("offset {offset} {why}"));
        let found = if offset < part.low || !log.has_disk() || offset >= part.memory_low() {
            log.find(handle, offset, now_ns)
        } else {
            let topic_id = log.topics().get(part.topic).id;
            let Some(page) = page.filter(|page| page.covers(topic_id, part.number, offset)) else {
                let end = offset + 1;
                return Ok(Lookup::OnDisk(Want {
                    topic_id,
                    partition: part.number,
                    offset,
                    since_ns: 0,
                    end,
                }));
            };
            if page.gap_at(offset).is_some() {
                return Err(gone("is damaged on disk and cannot be read"));
            }
            page.batches(offset).next().and_then(|batch| log.found_in(part.topic, &batch, offset, now_ns))
        };
        found.map(Lookup::Found).ok_or_else(|| gone("is no longer retained"))
    }
}
