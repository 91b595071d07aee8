//! What a connection holds in memory, as others see it.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::REGISTERED_BUFFER_BYTES;

/// What is in a connection's buffers, in bytes. Its worker notes it where a batch begins and ends, where a send
/// begins and ends, and whenever something is received meanwhile.
#[derive(Debug, Default)]
pub struct Buffers {
    input: AtomicUsize,
    input_capacity: AtomicUsize,
    reply_capacity: AtomicUsize,
    output: AtomicUsize,
    shown: AtomicUsize,
}

impl Buffers {
    /// So much has been received and not executed, in buffers of so many bytes.
    #[inline]
    pub fn received(&self, bytes: usize, capacity: usize) {
        self.input.store(bytes, Ordering::Relaxed);
        self.input_capacity.store(capacity, Ordering::Relaxed);
    }

    /// So many bytes of replies are being sent.
    #[inline]
    pub fn sending(&self, bytes: usize) {
        self.output.store(bytes, Ordering::Relaxed);
    }

    /// They have left; the buffer that replies are written into has so many bytes.
    #[inline]
    pub fn sent(&self, reply_capacity: usize) {
        self.output.store(0, Ordering::Relaxed);
        self.reply_capacity.store(reply_capacity, Ordering::Relaxed);
    }

    /// So many bytes wait that the connection is to be shown as a monitor.
    pub fn to_show(&self, bytes: usize) {
        self.shown.store(bytes, Ordering::Relaxed);
    }

    /// What there is now.
    pub(super) fn held(&self) -> Held {
        let [input, input_capacity, reply_capacity, output, shown] =
            [&self.input, &self.input_capacity, &self.reply_capacity, &self.output, &self.shown]
                .map(|bytes| bytes.load(Ordering::Relaxed));
        let input_free = input_capacity.saturating_sub(input);
        Held { input, input_free, reply_capacity, output, shown, ..Held::default() }
    }
}

/// What a connection holds, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held {
    /// Received and not executed.
    pub input: usize,
    /// Room behind that.
    pub input_free: usize,
    /// Arguments of a command that it is in.
    pub arguments: usize,
    /// Arguments of the commands queued by `MULTI`.
    pub queued: usize,
    /// The buffer that replies are written into, between batches.
    reply_capacity: usize,
    /// Replies that have not left.
    pub output: usize,
    /// What it is to be shown as a monitor.
    shown: usize,
}

impl Held {
    /// Replies that are sent from a buffer of a fixed size, as Redis's first ones are.
    pub fn small_output(&self) -> usize {
        if self.is_large() { 0 } else { self.output }
    }

    /// What waits to be sent beside that, and in how many pieces.
    pub fn large_output(&self) -> (usize, usize) {
        let replies = self.output - self.small_output();
        let pieces = usize::from(replies > 0) + usize::from(self.shown > 0);
        (replies + self.shown, pieces)
    }

    /// The buffer that replies are written into; large ones are sent from there, and take it along.
    pub fn reply_buffer(&self) -> usize {
        if self.is_large() { 0 } else { self.reply_capacity }
    }

    /// Whether anything waits to be sent.
    pub fn has_output(&self) -> bool {
        self.output + self.shown > 0
    }

    /// All of it.
    pub fn total(&self) -> usize {
        let received = self.input + self.input_free + self.arguments + self.queued;
        received + self.reply_buffer() + self.output + self.shown
    }

    fn is_large(&self) -> bool {
        self.output > REGISTERED_BUFFER_BYTES
    }
}

/// What several connections hold, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct HeldByAll {
    /// Together.
    pub total: u64,
    /// The most that one has for what it receives.
    pub input_max: u64,
    /// The most that one has for replies past a small buffer.
    pub output_max: u64,
}

impl HeldByAll {
    pub(super) fn add(&mut self, held: Held) {
        let input = (held.input + held.input_free + held.arguments) as u64;
        let (output, _) = held.large_output();
        self.total += held.total() as u64;
        self.input_max = self.input_max.max(input);
        self.output_max = self.output_max.max(output as u64);
    }
}
