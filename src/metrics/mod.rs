//! What is measured, and how Prometheus gets it.
//!
//! What happens often is recorded into nothing shared: each worker, and each kind of group, has counters of
//! its own ([`Count`], [`Durations`], [`Sizes`]), written once per batch or group by plain loads and
//! stores. Whoever scrapes has them summed up ([`Source::samples`]) and written as text
//! ([`exposition`]); between scrapes the endpoint costs nothing. Every metric is in [`ALL`].

mod count;
mod exposition;
mod histogram;
mod http;
mod list;
pub mod process;
mod timeline;

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

pub use self::count::{Count, Peak};
pub use self::histogram::{Durations, Sizes, Spread};
pub use self::http::{Bound, serve};
pub use self::list::{ALL, Definition, Kind};
pub use self::timeline::{STAGES, Stage, Timeline, Times};

/// One value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The metric, one of [`ALL`].
    pub name: &'static str,
    /// Names and values of its labels.
    pub labels: Vec<(&'static str, Cow<'static, str>)>,
    /// What it is now.
    pub value: Value,
}

/// What a metric can be.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A counter's or a gauge's.
    Number(f64),
    /// A histogram's.
    Spread(Spread),
}

impl Sample {
    /// A number without a label.
    pub fn new(name: &'static str, value: u64) -> Sample {
        Sample::number(name, value as f64)
    }

    /// A number without a label that need not be whole.
    pub fn number(name: &'static str, value: f64) -> Sample {
        Sample { name, labels: Vec::new(), value: Value::Number(value) }
    }

    /// A histogram.
    pub fn spread(name: &'static str, spread: Spread) -> Sample {
        Sample { name, labels: Vec::new(), value: Value::Spread(spread) }
    }

    /// The same with a label.
    pub fn with(mut self, label: &'static str, value: impl Into<Cow<'static, str>>) -> Sample {
        self.labels.push((label, value.into()));
        self
    }
}

/// Whether the process can do what it is for, or why not.
pub type Readiness<'s> = Pin<Box<dyn Future<Output = Result<(), String>> + 's>>;

/// What the endpoint shows.
pub trait Source: Send + Sync {
    /// All values, as they are now.
    fn samples(&self) -> Vec<Sample>;

    /// Whether the event loops turn, or what is wrong with them.
    fn live(&self) -> Result<(), String>;

    /// Whether the store answers, or what is wrong with it.
    fn ready(&self) -> Readiness<'_>;
}
