//! What a reader knows of the order of each publisher's messages.

/// What an arriving message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// The next one, or one after a gap.
    InOrder,
    /// It fills a gap: it came after its successors.
    Reordered,
    /// It was here before.
    Duplicate,
}

/// Sequences seen by one reader, per publisher.
pub struct Order {
    next: Vec<u64>,
    /// Sequences skipped and not seen since, per publisher, ascending.
    gaps: Vec<Vec<u64>>,
}

/// Gaps remembered per publisher; beyond it the run has failed anyway and a late message counts as a duplicate.
const GAPS_MAX: usize = 4096;

impl Order {
    pub fn new(publishers: usize) -> Self {
        Self {
            next: vec![0; publishers],
            gaps: vec![Vec::new(); publishers],
        }
    }

    /// Notes a message; `None` when the publisher is unknown.
    pub fn note(&mut self, publisher: usize, sequence: u64) -> Option<Arrival> {
        let next = self.next.get_mut(publisher)?;
        let gaps = &mut self.gaps[publisher];
        if sequence < *next {
            return Some(match gaps.binary_search(&sequence) {
                Ok(at) => {
                    gaps.remove(at);
                    Arrival::Reordered
                }
                Err(_) => Arrival::Duplicate,
            });
        }
        let room = GAPS_MAX - gaps.len();
        gaps.extend((*next..sequence).take(room));
        *next = sequence + 1;
        Some(Arrival::InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_and_doubled_messages_are_told_apart() {
        let mut order = Order::new(2);
        let arrivals: Vec<_> = [0, 1, 4, 2, 2, 4, 5, 3]
            .iter()
            .map(|sequence| order.note(1, *sequence))
            .collect();
        let (new, late, again) = (
            Some(Arrival::InOrder),
            Some(Arrival::Reordered),
            Some(Arrival::Duplicate),
        );
        assert_eq!(arrivals, vec![new, new, new, late, again, again, new, late]);
        assert_eq!(order.note(0, 0), new, "publishers are apart");
        assert_eq!(order.note(2, 0), None);
    }

    #[test]
    fn a_gap_without_end_is_bounded() {
        let mut order = Order::new(1);
        order.note(0, u64::MAX - 1);
        assert_eq!(order.gaps[0].len(), GAPS_MAX);
        assert_eq!(order.note(0, 1), Some(Arrival::Reordered));
        assert_eq!(order.note(0, 1 << 20), Some(Arrival::Duplicate));
    }
}
