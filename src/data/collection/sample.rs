//! Elements chosen at random.
//!
//! The order of hashes is all there is to seek by, and gaps between hashes differ: the element behind
//! a random position is found with a chance proportional to the gap before it. So a run of
//! [`SAMPLE_RUN`] elements is read from there, around the end if need be, and the choice is made among
//! these: the chance is then proportional to the sum of as many gaps, which differs much less. A
//! collection that is no larger than a run is known whole after it, and the choice is exact.
//!
//! Positions depend on the seed alone, so an execution after a fetch finds what was fetched.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::{Collection, Records};
use crate::data::keys::{self, ELEMENT_HEAD, RecordKey};
use crate::data::random::Random;
use crate::data::view::View;
use crate::error::{Stop, Together};
use crate::limits::{SAMPLE_PICKS_MAX, SAMPLE_RUN, SAMPLE_RUNS_FETCHED_MAX, SAMPLE_RUNS_MIN};
use crate::store::{Scan, Visitor};

/// How many elements to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// So many, none of them twice; all if there are no more.
    Distinct(u64),
    /// So many, each from among all.
    Repeated(u64),
}

impl Draw {
    /// How many that is at most.
    pub fn count(self) -> u64 {
        match self {
            Draw::Distinct(count) | Draw::Repeated(count) => count,
        }
    }

    /// How many are taken out of each run.
    fn picks(self) -> u64 {
        (self.count() / SAMPLE_RUNS_MIN).clamp(1, SAMPLE_PICKS_MAX)
    }
}

/// Elements behind a position.
struct Run {
    elements: Records,
    /// These are all.
    whole: bool,
}

impl Run {
    /// About how many elements there are if they lie everywhere as densely as here.
    fn estimate(&self) -> u64 {
        let hash = |index| keys::split_hash(self.elements.get(index).0, ELEMENT_HEAD).0;
        let last = self.elements.len() - 1;
        let stretch = hash(last).wrapping_sub(hash(0)).max(1);
        (last as f64 / stretch as f64 * 2_f64.powi(64)) as u64
    }
}

/// What of a draw is still to be made.
struct Drawing<'a, 'v> {
    left: u64,
    /// Of each run.
    picks: u64,
    random: Random,
    /// Keys of those that may not be chosen again, if any may not.
    chosen: Option<HashSet<RecordKey>>,
    visit: &'a mut Visitor<'v>,
}

impl Drawing<'_, '_> {
    /// Chooses up to `picks` elements of a run.
    fn pick(&mut self, run: &Run, picks: u64) -> ControlFlow<()> {
        let mut order: Vec<usize> = (0..run.elements.len()).collect();
        let (mut at, mut picked) = (0, 0);
        while picked < picks && self.left > 0 && at < order.len() {
            let other = at + self.random.below((order.len() - at) as u64) as usize;
            let (key, record) = run.elements.get(order[other]);
            if let Some(chosen) = &mut self.chosen {
                order.swap(at, other);
                at += 1;
                if !chosen.insert(RecordKey::from_slice(key)) {
                    continue;
                }
            }
            (self.visit)(key, record)?;
            picked += 1;
            self.left -= 1;
        }
        ControlFlow::Continue(())
    }
}

impl Collection {
    /// Visits keys and records of elements chosen at random, until `visit` has enough; whether these
    /// were all elements, each once. All that is random comes from `seed`.
    pub fn draw(
        &self,
        view: &View<'_>,
        seed: u64,
        draw: Draw,
        visit: &mut Visitor<'_>,
    ) -> Result<bool, Stop> {
        let (left, picks) = (draw.count(), draw.picks());
        if left == 0 {
            return Ok(false);
        }
        let mut random = Random::new(seed);
        let mut positions = Random::new(random.number());
        if left == 1 {
            let is_alone = self.draw_one(view, positions.number(), &mut random, visit)?;
            return Ok(is_alone && matches!(draw, Draw::Distinct(_)));
        }
        let first = self.run(view, positions.number())?;
        let distinct = matches!(draw, Draw::Distinct(_));
        if first.whole {
            let everything = distinct && left >= first.elements.len() as u64;
            let chosen = distinct.then(HashSet::new);
            let mut drawing = Drawing { left, picks, random, chosen, visit };
            let _ = drawing.pick(&first, left);
            return Ok(everything);
        }
        let read = left.div_ceil(picks).saturating_mul(SAMPLE_RUN as u64);
        if distinct && first.estimate() <= read {
            return self.select(view, left, random, visit);
        }
        let chosen = distinct.then(HashSet::new);
        let mut drawing = Drawing { left, picks, random, chosen, visit };
        if drawing.pick(&first, picks).is_continue() {
            self.draw_from_runs(view, positions, drawing)?;
        }
        Ok(false)
    }

    /// Visits one element: any of the run behind a position, without reading more of it than needed.
    /// Whether it is the only one.
    ///
    /// Where there are fewer than a run this is as exact as reading them all first: of as many places
    /// in the run as there are elements each element is in every one exactly once.
    fn draw_one(
        &self,
        view: &View<'_>,
        position: u64,
        random: &mut Random,
        visit: &mut Visitor<'_>,
    ) -> Result<bool, Stop> {
        let place = random.below(SAMPLE_RUN as u64) as usize;
        let (mut seen, mut found) = (0, false);
        // The first one may be alone, which only a look behind it tells.
        let limit = place.max(1) + 1;
        self.around(view, position, limit, &mut |key, record| {
            seen += 1;
            if seen <= place {
                return ControlFlow::Continue(());
            }
            if !found {
                found = true;
                let _ = visit(key, record);
            }
            if seen == 1 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if found || seen == 0 {
            return Ok(seen == 1);
        }
        let mut left = random.below(seen as u64);
        self.around(view, position, limit, &mut |key, record| {
            if left > 0 {
                left -= 1;
                return ControlFlow::Continue(());
            }
            let _ = visit(key, record);
            ControlFlow::Break(())
        })?;
        Ok(seen == 1)
    }

    /// Visits elements from a position on, around the end if need be, until `visit` has enough or all
    /// have been seen. It takes no more than `limit`.
    fn around(
        &self,
        view: &View<'_>,
        position: u64,
        limit: usize,
        visit: &mut Visitor<'_>,
    ) -> Result<(), Stop> {
        let prefix = self.prefix();
        let (begin, end) = keys::range(&prefix);
        let from = keys::at_hash(&prefix, position);
        let (mut ended, mut together) = (false, Together::default());
        for (begin, end) in [(&from, &end), (&begin, &from)] {
            let scan = Scan { limit, ..Scan::all(begin, end) };
            let scanned = view.scan(scan, &mut |key, record| {
                let flow = visit(key, record);
                ended = flow.is_break();
                flow
            });
            if together.take(scanned)?.is_some() && ended {
                break;
            }
        }
        together.end()
    }

    /// The run behind a position.
    fn run(&self, view: &View<'_>, position: u64) -> Result<Run, Stop> {
        let mut elements = Records::default();
        self.around(view, position, SAMPLE_RUN, &mut |key, record| {
            elements.push(key, record);
            match elements.len() < SAMPLE_RUN {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        let whole = elements.len() < SAMPLE_RUN;
        Ok(Run { elements, whole })
    }

    /// Makes a draw out of as many runs as it takes.
    fn draw_from_runs(
        &self,
        view: &View<'_>,
        mut positions: Random,
        mut drawing: Drawing<'_, '_>,
    ) -> Result<(), Stop> {
        let (mut together, mut asked) = (Together::default(), 0);
        // With hashes that somebody has made to lie closely together, most runs would be the same.
        let runs = drawing.left.div_ceil(drawing.picks);
        let mut runs_left = runs.saturating_mul(4).saturating_add(SAMPLE_RUNS_MIN);
        while drawing.left > 0 {
            if runs_left == 0 && drawing.chosen.is_some() {
                return self.draw_rest(view, drawing);
            }
            runs_left = runs_left.saturating_sub(1);
            match together.take(self.run(view, positions.number()))? {
                Some(run) => {
                    let picks = drawing.picks;
                    if drawing.pick(&run, picks).is_break() {
                        break;
                    }
                }
                None => {
                    asked += 1;
                    drawing.left = drawing.left.saturating_sub(drawing.picks);
                    if asked == SAMPLE_RUNS_FETCHED_MAX {
                        break;
                    }
                }
            }
        }
        together.end()
    }

    /// Chooses what is left of a draw among those that were not chosen, the first ones first.
    fn draw_rest(&self, view: &View<'_>, drawing: Drawing<'_, '_>) -> Result<(), Stop> {
        let Drawing { mut left, chosen, visit, .. } = drawing;
        self.walk(view, &mut |key, record| {
            if chosen.as_ref().is_some_and(|chosen| chosen.contains(key)) {
                return ControlFlow::Continue(());
            }
            left -= 1;
            match left {
                0 => {
                    let _ = visit(key, record);
                    ControlFlow::Break(())
                }
                _ => visit(key, record),
            }
        })
    }

    /// Walks through all elements and chooses so many, every choice as likely as any other; whether
    /// these were all.
    fn select(
        &self,
        view: &View<'_>,
        mut wanted: u64,
        mut random: Random,
        visit: &mut Visitor<'_>,
    ) -> Result<bool, Stop> {
        let mut together = Together::default();
        let len = together.take(self.len(view))?;
        let mut left = len.unwrap_or(u64::MAX);
        let everything = wanted >= left;
        let walked = self.walk(view, &mut |key, record| {
            let takes = random.below(left.max(1)) < wanted;
            left = left.saturating_sub(1);
            if !takes {
                return ControlFlow::Continue(());
            }
            wanted -= 1;
            match wanted {
                0 => {
                    let _ = visit(key, record);
                    ControlFlow::Break(())
                }
                _ => visit(key, record),
            }
        });
        together.take(walked)?;
        together.end()?;
        Ok(everything)
    }
}
