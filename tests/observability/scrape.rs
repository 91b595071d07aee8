//! What a server exposes at one moment, as numbers.

use crate::common::{Server, http, until};

/// The samples of one scrape.
#[derive(Debug)]
pub struct Scrape(Vec<(String, f64)>);

impl Scrape {
    /// Of this server, now.
    pub fn of(server: &Server) -> Scrape {
        let (status, text) = http::get(server.metrics_address(), "/metrics").unwrap();
        assert_eq!(status, 200, "{text}");
        let samples = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            (series.to_owned(), value.parse().expect("a number"))
        };
        Scrape(samples.map(sample).collect())
    }

    /// The sum of all series that begin with this name and have all these labels (`kind="ERR"`).
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let of = |series: &str| {
            let (own, rest) = series.split_once('{').unwrap_or((series, ""));
            own == name && labels.iter().all(|label| rest.contains(label))
        };
        self.0.iter().filter(|(series, _)| of(series)).map(|(_, value)| value).sum()
    }

    /// The buckets of a histogram with these labels: upper bounds and how many are not above them.
    pub fn buckets(&self, name: &str, labels: &[&str]) -> Vec<(f64, f64)> {
        let name = format!("{name}_bucket{{");
        let with = |series: &str| labels.iter().all(|label| series.contains(label));
        let of = self.0.iter().filter(|(series, _)| series.starts_with(&name) && with(series));
        of.map(|(series, count)| {
            let (_, bound) = series.split_once("le=\"").expect("a bound");
            let (bound, _) = bound.split_once('"').expect("the bound's end");
            (bound.parse().expect("a number"), *count)
        })
        .collect()
    }
}

/// The first scrape of which this is true. A server counts a batch when its replies have been written,
/// which its client may know before it does.
pub fn when(server: &Server, what: &str, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
    until(what, || Scrape::of(server), is_so)
}
