use berth_core::id::AttemptHandle;
use berth_proto::agent;
use prost::Message as _;

/// A message is ended when it has orders of this many bytes; an agent takes 16 times as much, and one order is at most
/// a few times as long.
const ORDER_BYTES_IN_MESSAGE: usize = 1 << 20;

/// One generation, cut into messages that an agent can take.
#[derive(Debug)]
pub(super) struct Parts {
    empty: agent::Desired,
    done: Vec<agent::Desired>,
    last: agent::Desired,
    /// Bytes of orders in the last one.
    bytes: usize,
}

impl Parts {
    pub(super) fn new(empty: agent::Desired) -> Parts {
        Parts { last: empty.clone(), empty, done: Vec::new(), bytes: 0 }
    }

    pub(super) fn extend(&mut self, orders: impl IntoIterator<Item = agent::Order>) {
        for order in orders {
            let bytes = order.encoded_len();
            if self.bytes > 0 && self.bytes + bytes > ORDER_BYTES_IN_MESSAGE {
                let full = std::mem::replace(&mut self.last, self.empty.clone());
                self.done.push(agent::Desired { more: true, ..full });
                self.bytes = 0;
            }
            self.bytes += bytes;
            self.last.set.push(order);
        }
    }

    /// These numbers are small: as many as one batch of events has fit into any message.
    pub(super) fn forget(&mut self, attempt: AttemptHandle) {
        self.last.forget.push(attempt.0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.done.is_empty() && self.last.set.is_empty() && self.last.forget.is_empty()
    }

    pub(super) fn finish(mut self) -> Vec<agent::Desired> {
        self.done.push(self.last);
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(attempt: u64, bytes: usize) -> agent::Order {
        agent::Order { attempt, name: "x".repeat(bytes), ..agent::Order::default() }
    }

    #[test]
    fn a_generation_is_cut_by_its_bytes_and_nothing_of_it_is_left_out() {
        let mut parts = Parts::new(agent::Desired { full: true, ..agent::Desired::default() });
        parts.extend((0..200).map(|attempt| order(attempt, 84 << 10)));
        let parts = parts.finish();
        assert!(parts.iter().all(|part| part.full && part.encoded_len() < (1 << 20) + (1 << 10)));
        let more: Vec<bool> = parts.iter().map(|part| part.more).collect();
        let last = more.len() - 1;
        assert!(more[..last].iter().all(|more| *more) && !more[last], "{more:?}");
        let attempts = parts.iter().flat_map(|part| part.set.iter().map(|order| order.attempt));
        assert!(attempts.eq(0..200));
    }

    #[test]
    fn an_order_that_is_longer_than_a_part_is_a_part_of_its_own() {
        let mut parts = Parts::new(agent::Desired::default());
        parts.extend([order(1, 10), order(2, 2 << 20), order(3, 10)]);
        assert_eq!(parts.finish().iter().map(|part| part.set.len()).collect::<Vec<_>>(), [1, 1, 1]);
    }

    #[test]
    fn a_generation_without_orders_is_one_part() {
        let mut parts = Parts::new(agent::Desired::default());
        assert!(parts.is_empty());
        parts.forget(AttemptHandle(7));
        assert!(!parts.is_empty());
        assert_eq!(parts.finish().len(), 1);
    }
}
