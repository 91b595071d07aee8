//! `LATENCY HISTOGRAM`: how the latencies of commands are spread, from their arrival to their replies.

use super::{Ctx, Outcome};
use crate::command::stats::{CommandTotals, registry};
use crate::command::{Spec, table};

pub(super) fn histogram(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let totals = ctx.server.stats.totals().commands;
    let named = ctx.args.from(2);
    let wanted: Vec<&'static Spec> = match named.is_empty() {
        true => registry().specs().to_vec(),
        false => named.iter().flat_map(commands).collect(),
    };
    let of = |spec| totals.get(registry().number(spec));
    let told = wanted.into_iter().filter_map(|spec| Some((spec, of(spec)?)));
    let told: Vec<_> = told.filter(|(_, totals)| totals.latency.count() > 0).collect();
    ctx.reply.map(told.len());
    for (spec, totals) in told {
        let buckets = doublings(totals);
        ctx.reply.bulk(spec.name.as_bytes());
        ctx.reply.map(2);
        ctx.reply.bulk(b"calls");
        ctx.reply.integer(totals.latency.count() as i64);
        ctx.reply.bulk(b"histogram_usec");
        ctx.reply.map(buckets.len());
        for (bound_us, count) in buckets {
            ctx.reply.integer(bound_us as i64);
            ctx.reply.integer(count as i64);
        }
    }
    Ok(())
}

/// The command of this name, and its subcommands if it has any.
fn commands(name: &[u8]) -> Vec<&'static Spec> {
    let container = name.split(|byte| *byte == b'|').next().unwrap_or_default();
    let Some(spec) = table::by_name(container) else { return Vec::new() };
    if container.len() < name.len() {
        return table::subcommand(spec, &name[container.len() + 1..]).into_iter().collect();
    }
    std::iter::once(spec).chain(spec.subcommands).collect()
}

/// Upper bounds in microseconds, each about twice the one before, and how many took no longer: as many of
/// them as are needed, without those up to which there are no more than up to the one before.
fn doublings(totals: &CommandTotals) -> Vec<(u64, u64)> {
    let mut buckets: Vec<(u64, u64)> = Vec::new();
    for (bound_us, count) in totals.latency.occupied() {
        let bound_us = doubling(bound_us);
        match buckets.last_mut() {
            Some(last) if last.0 == bound_us => last.1 = count,
            _ => buckets.push((bound_us, count)),
        }
    }
    buckets
}

/// The first of 1, 2, 4, 8, 16, 32, 63, 125, 250, 500, 1000, 2000, ... that is not less: every third bound of
/// the histograms.
fn doubling(bound_us: f64) -> u64 {
    const THOUSANDFOLD: [u64; 10] = [1, 2, 4, 8, 16, 32, 63, 125, 250, 500];
    let scales = (0..).map(|power| 1000_u64.pow(power));
    let mut bounds = scales.flat_map(|scale| THOUSANDFOLD.map(|bound| bound * scale));
    bounds.find(|bound| *bound as f64 >= bound_us).expect("they go on beyond the last bucket")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_about_double() {
        for (us, bound) in [(0.5, 1), (1.0, 1), (1.25, 2), (50.0, 63), (63.0, 63), (125.0, 125)] {
            assert_eq!(doubling(us), bound);
        }
        assert_eq!(
            [500.1, 1600.0, 32_000.0, 5e6, 1e7].map(doubling),
            [1000, 2000, 32_000, 8_000_000, 16_000_000]
        );
    }

    #[test]
    fn a_container_stands_for_its_subcommands() {
        let names =
            |name: &str| commands(name.as_bytes()).iter().map(|spec| spec.name).collect::<Vec<_>>();
        assert_eq!(names("GET"), ["get"]);
        assert_eq!(names("Config|Get"), ["config|get"]);
        assert!(names("slowlog").contains(&"slowlog|len"));
        for unknown in ["", "nosuch", "config|nosuch", "get|x", "|"] {
            assert!(names(unknown).is_empty(), "{unknown}");
        }
    }
}
