//! What the time between a command's arrival and its replies is spent on.

use std::time::{Duration, Instant};

use crate::clock;

/// What a batch of commands is doing or waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Found in the input, looked up, and asked about: arity, tokens.
    Authorization,
    /// Waiting: for its turn of the event loop, for its tenant's share, for its group.
    Queue,
    /// Being executed, all attempts together; where the store is in this process, reads too.
    Execution,
    /// Waiting for the version at which a networked store is read.
    ReadVersion,
    /// Waiting for records from a networked store.
    Reads,
    /// Waiting until what it wrote is durable.
    Commit,
    /// Waiting to try again, and finding out what became of a commit.
    Retry,
    /// Its replies wait for the connection's worker and the socket.
    Flush,
}

/// How many stages there are.
pub const STAGES: usize = 8;

impl Stage {
    /// All of them, in order.
    pub const ALL: [Stage; STAGES] = [
        Stage::Authorization,
        Stage::Queue,
        Stage::Execution,
        Stage::ReadVersion,
        Stage::Reads,
        Stage::Commit,
        Stage::Retry,
        Stage::Flush,
    ];

    /// Its name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Authorization => "authorization",
            Stage::Queue => "queue",
            Stage::Execution => "execution",
            Stage::ReadVersion => "read_version",
            Stage::Reads => "reads",
            Stage::Commit => "commit",
            Stage::Retry => "retry",
            Stage::Flush => "flush",
        }
    }
}

/// Nanoseconds spent in each stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times([u64; STAGES]);

impl Times {
    /// Adds to a stage.
    #[inline]
    pub fn spend(&mut self, stage: Stage, time: Duration) {
        self.0[stage as usize] += time.as_nanos() as u64;
    }

    /// Nanoseconds spent in a stage.
    pub fn ns(&self, stage: Stage) -> u64 {
        self.0[stage as usize]
    }

    /// The stages in which any time was spent, with its nanoseconds.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (Stage, u64)> {
        Stage::ALL.into_iter().zip(self.0).filter(|(_, ns)| *ns > 0)
    }

    /// Nanoseconds spent in all stages.
    pub fn total_ns(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// The stages as people read them: `queue=120 execution=45`, in microseconds.
impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, (stage, ns)) in self.iter().enumerate() {
            let space = if number > 0 { " " } else { "" };
            write!(f, "{space}{}={}", stage.name(), ns / 1000)?;
        }
        Ok(())
    }
}

/// A batch's way through the stages: every moment from its arrival on belongs to one of them, but for the time
/// in which it waits for data that others are to bring, which is nobody's latency.
///
/// A batch may have come in while others of its client were being answered, and it may be executed in several
/// parts, each with replies that leave before the next begins. To the client it arrived when it did, and all of
/// it at once. So latency is counted from there, and what came before is `queue` to it; but its share of the
/// work, [`Timeline::busy`], begins with itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timeline {
    /// Its arrival; moved forward by what does not count.
    begun: Option<Instant>,
    /// What `times` accounts for ends here.
    at: Option<Instant>,
    /// It has been waiting for data since then.
    left: Option<Instant>,
    times: Times,
    /// From its arrival until it, or its present part, began.
    earlier: Duration,
    /// Nobody wants to know the stages: only the whole is measured.
    whole_only: bool,
}

impl Timeline {
    /// Begins a batch that arrived then and is looked at now, after what its client had sent before it; `stages`
    /// if they are to be told apart.
    pub fn begin(&mut self, arrived: Instant, now: Instant, stages: bool) {
        let earlier = now.saturating_duration_since(arrived);
        let (begun, at) = (Some(arrived), Some(now));
        *self = Timeline { begun, at, earlier, whole_only: !stages, ..Timeline::default() };
    }

    /// A stage ends now, as this returns; `None` if nobody measures.
    #[inline]
    pub fn lap(&mut self, stage: Stage) -> Option<Instant> {
        if self.whole_only {
            return None;
        }
        let now = clock::monotonic();
        self.until(stage, now);
        Some(now)
    }

    /// A stage ended then; nothing if that is past.
    #[inline]
    pub fn until(&mut self, stage: Stage, then: Instant) {
        if let Some(at) = self.at.filter(|at| *at < then && !self.whole_only) {
            self.times.spend(stage, then - at);
            self.at = Some(then);
        }
    }

    /// A group that the batch took part in began and ended then, and in between spent its time so.
    pub fn took_part(&mut self, began: Instant, times: &Times, ended: Instant) {
        self.come_back(began);
        self.until(Stage::Queue, began);
        if !self.whole_only {
            self.times.0.iter_mut().zip(times.0).for_each(|(sum, ns)| *sum += ns);
            self.at = Some(ended);
        }
    }

    /// It waits for data from now on.
    pub fn leave(&mut self) {
        self.left = self.left.or_else(|| Some(clock::monotonic()));
    }

    /// It goes on, with the data or without.
    pub fn come_back(&mut self, now: Instant) {
        if let Some(left) = self.left.take() {
            let waited = now.saturating_duration_since(left);
            self.begun = self.begun.map(|begun| begun + waited);
            self.at = Some(now);
        }
    }

    /// What the present part spent where, up to the last lap.
    pub fn times(&self) -> &Times {
        &self.times
    }

    /// Time from its arrival until `now`.
    pub fn total(&self, now: Instant) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| now.saturating_duration_since(begun))
    }

    /// The next part begins, as the replies to the one before have left.
    pub fn next_part(&mut self) {
        self.lap(Stage::Flush);
        self.begin_part(self.last());
    }

    fn begin_part(&mut self, now: Instant) {
        (self.earlier, self.times) = (self.total(now), Times::default());
    }

    /// Time that the present part took until `now`: what earlier ones took counts once, as theirs.
    pub fn busy(&self, now: Instant) -> Duration {
        self.total(now).saturating_sub(self.earlier)
    }

    /// What the present part spent where, if its replies left at `now`.
    pub fn end(&mut self, now: Instant) -> &Times {
        self.until(Stage::Flush, now);
        if !self.whole_only {
            self.times.spend(Stage::Queue, std::mem::take(&mut self.earlier));
        }
        &self.times
    }

    /// Where its last lap ended, if there are laps.
    pub fn reached(&self) -> Option<Instant> {
        self.at.filter(|_| !self.whole_only)
    }

    /// The same, or now.
    pub fn last(&self) -> Instant {
        self.reached().unwrap_or_else(clock::monotonic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn every_moment_belongs_to_a_stage() {
        let start = clock::monotonic();
        let mut line = Timeline::default();
        line.begin(start, start, true);
        line.until(Stage::Authorization, start + MS);
        let mut group = Times::default();
        group.spend(Stage::Execution, 3 * MS);
        group.spend(Stage::Commit, 4 * MS);
        line.took_part(start + 3 * MS, &group, start + 10 * MS);
        line.until(Stage::Flush, start + 11 * MS);
        assert_eq!(line.total(start + 11 * MS), 11 * MS);
        assert_eq!(line.times().total_ns(), 11_000_000);
        let told = "authorization=1000 queue=2000 execution=3000 commit=4000 flush=1000";
        assert_eq!(line.times().to_string(), told);
    }

    #[test]
    fn waiting_for_data_does_not_count() {
        let start = clock::monotonic();
        let mut line = Timeline::default();
        line.begin(start, start, true);
        line.left = Some(start + MS);
        line.took_part(start + 101 * MS, &Times::default(), start + 102 * MS);
        assert_eq!(line.total(start + 102 * MS), 2 * MS);
        assert_eq!(line.times().ns(Stage::Queue), 0);
    }

    #[test]
    fn a_later_part_has_waited_for_the_earlier_ones() {
        let start = clock::monotonic();
        let mut line = Timeline::default();
        line.begin(start, start, true);
        line.until(Stage::Execution, start + 10 * MS);
        let mut first = line;
        assert_eq!(line.busy(start + 10 * MS), 10 * MS);
        line.until(Stage::Flush, start + 11 * MS);
        line.begin_part(start + 11 * MS);
        line.until(Stage::Execution, start + 13 * MS);
        assert_eq!(line.times().to_string(), "execution=2000");
        assert_eq!((line.total(start + 13 * MS), line.busy(start + 13 * MS)), (13 * MS, 2 * MS));
        assert_eq!(first.end(start + 11 * MS).to_string(), "execution=10000 flush=1000");
        let times = line.end(start + 14 * MS);
        assert_eq!(times.to_string(), "queue=11000 execution=2000 flush=1000");
        // What it waits for data counts in neither.
        line.begin_part(start + 14 * MS);
        line.left = Some(start + 14 * MS);
        line.come_back(start + 114 * MS);
        line.until(Stage::Execution, start + 115 * MS);
        assert_eq!((line.total(start + 115 * MS), line.busy(start + 115 * MS)), (15 * MS, MS));
        assert_eq!(line.end(start + 115 * MS).to_string(), "queue=14000 execution=1000");
    }

    #[test]
    fn what_came_in_behind_others_has_waited_for_them() {
        let start = clock::monotonic();
        let mut line = Timeline::default();
        line.begin(start, start + 5 * MS, true);
        line.until(Stage::Execution, start + 6 * MS);
        assert_eq!((line.total(start + 6 * MS), line.busy(start + 6 * MS)), (6 * MS, MS));
        assert_eq!(line.end(start + 7 * MS).to_string(), "queue=5000 execution=1000 flush=1000");
    }

    #[test]
    fn without_stages_only_the_whole_is_measured() {
        let start = clock::monotonic();
        let mut line = Timeline::default();
        line.begin(start, start, false);
        assert_eq!(line.lap(Stage::Execution), None);
        line.took_part(start + MS, &Times::default(), start + 2 * MS);
        assert_eq!(line.times().total_ns(), 0);
        assert_eq!(line.total(start + 5 * MS), 5 * MS);
    }
}
