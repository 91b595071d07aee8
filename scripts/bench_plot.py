"""Draws how latency grows with throughput, and how it is distributed, for ringstone and Redis.

Each server has one core, the client (benches/latency/paced.rs) another. First, what each server does at
most is measured with connections that never pause; then both are offered parts of that, at random
moments that do not depend on the replies (an open loop), and a latency counts from when its
pipeline was due. The rounds alternate between the servers; figures are medians of rounds. The
picture holds its figures, as JSON in its metadata.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from xml.etree import ElementTree

import bench
import bench_tenants
import paced
import picture

PARTS_OF_MAXIMUM = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0]
# Of the slower server's maximum: where latencies are compared at one rate.
COMMON_PART = 0.7
# Cores used by other programs; a measurement meanwhile is repeated if there is time.
OTHERS_MAX = 0.1
NAMES = {"ringstone": "ringstone", "redis": "Redis"}
COLORS = {"ringstone": "#0969da", "redis": "#d1481e"}
# name of a figure, what it is called, width and dashes of its line
LINES = [("p50_us", "p50", 1.4, "1.5 4"), ("p99_us", "p99", 2.4, ""),
         ("p999_us", "p99.9", 1.6, "7 4")]
WIDTH, HEADER, ROW, FOOTER = 1200, 142, 430, 62


def offer(args, server, gets, seed, rate=0, seconds=None):
    """One measurement, repeated while other programs disturb it and there is patience left."""
    while True:
        figures = paced.run(
            args.paced, server, rate=round(rate), gets=gets, seed=seed, clients=args.clients,
            pipeline=args.pipeline, milliseconds=round((seconds or args.seconds) * 1000))
        if figures["others"] <= OTHERS_MAX or args.patience <= 0:
            return figures
        args.patience -= paced.wait_for_quiet(server, OTHERS_MAX, args.patience)
        args.patience -= seconds or args.seconds


def middle(rows):
    """The median of each figure, and of each point of the curve."""
    names = [name for name, value in rows[0].items() if isinstance(value, (int, float))]
    result = {name: statistics.median(row[name] for row in rows) for name in names}
    curves = zip(*(row["slower_share_us"] for row in rows))
    result["curve"] = [[points[0][0], statistics.median(us for _, us in points)]
                       for points in curves]
    return result


def alternate(servers, rounds, measure):
    """What each server does, in turns."""
    rows = {name: [] for name in servers}
    for turn in range(rounds):
        for name in list(servers) if turn % 2 == 0 else reversed(servers):
            rows[name].append(measure(name, servers[name], turn + 1))
    return {name: middle(found) for name, found in rows.items()}


def show(gets, name, what, figures):
    print(f"| {gets} % GET | {NAMES[name]} | {what} | {figures['per_second']:,.0f} | "
          f"{figures['p50_us']:,.0f} | {figures['p99_us']:,.0f} | {figures['p999_us']:,.0f} | "
          f"{figures['max_us']:,.0f} | {figures['busy']:.0%} | {figures['others']:.2f} |", flush=True)


def measure_mix(args, servers, gets):
    """All of one mix of commands."""
    most = alternate(servers, args.rounds, lambda name, server, seed: offer(
        args, server, gets, seed))
    for name in servers:
        show(gets, name, "all it can", most[name])
    ladder = {name: [] for name in servers}
    for part in PARTS_OF_MAXIMUM:
        step = alternate(servers, args.rounds, lambda name, server, seed: offer(
            args, server, gets, seed, rate=most[name]["per_second"] * part))
        for name, figures in step.items():
            ladder[name].append({key: value for key, value in figures.items() if key != "curve"})
            show(gets, name, f"{figures['rate']:,.0f}", figures)
    rate = min(figures["per_second"] for figures in most.values()) * COMMON_PART
    rate = round(rate, -4)
    common = alternate(servers, args.rounds, lambda name, server, seed: offer(
        args, server, gets, seed, rate=rate, seconds=2 * args.seconds))
    for name, figures in common.items():
        show(gets, name, f"{rate:,.0f}, longer", figures)
    return {"gets": gets, "rate": rate, "ladder": ladder,
            "maximum": {name: figures["per_second"] for name, figures in most.items()},
            "curves": {name: figures["curve"] for name, figures in common.items()}}


def measure(args, directory):
    """All figures, and what they are of."""
    title, ringstone_flags, redis_flags, _ = bench.PAIRINGS[args.pairing]
    with bench_tenants.inherited(bench_tenants.SERVER_CORE, -20):
        servers = {
            "ringstone": bench.start_ringstone(
                args.binary, [*ringstone_flags, "--workers", "1"], directory / "ringstone"),
            "redis": bench.start_redis(redis_flags, directory / "redis"),
        }
    # Once, before anything counts: GET is to find its keys.
    for server in servers.values():
        paced.run(args.paced, server, fill=True)
    print("| mix | server | offered/s | answered/s | p50 us | p99 us | p99.9 us | slowest us "
          "| client busy | others' cores |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    mixes = [measure_mix(args, servers, gets) for gets in args.mixes]
    for server in servers.values():
        server.stop()
    version = re.compile(r"(?:v=|ringstone )([\d.]+)")
    versions = {name: version.search(subprocess.run(
        [program, "--version"], capture_output=True, text=True).stdout).group(1)
        for name, program in (("ringstone", args.binary), ("redis", "redis-server"))}
    options = shlex.join(sys.argv[1:])
    return {
        "date": str(datetime.date.today()), "command": f"scripts/bench.sh --plot {options}".strip(),
        "machine": f"Linux {platform.release().split('-')[0]}, {os.cpu_count()} cores",
        "versions": versions, "pairing": title, "clients": args.clients,
        "pipeline": args.pipeline, "rounds": args.rounds, "mixes": mixes,
    }


def time_label(us):
    for unit, name in ((1e6, "s"), (1e3, "ms"), (1, "µs")):
        if us >= unit * 0.9995:
            return f"{us / unit:.3g} {name}"
    return f"{us:.2g} µs"


def rate_label(rate):
    return f"{rate / 1e6:g} M" if rate >= 1e6 else f"{rate / 1e3:g} k" if rate else "0"


def bounds(figures):
    """Of all latencies drawn, with some room."""
    drawn = [point[key] for mix in figures["mixes"] for points in mix["ladder"].values()
             for point in points for key, *_ in LINES]
    drawn += [us for mix in figures["mixes"] for curve in mix["curves"].values()
              for _, us in curve]
    return min(drawn) * 0.8, max(drawn) * 1.25


def draw_header(page, figures):
    versions = figures["versions"]
    page.text(36, 44, f"Latency and throughput: ringstone {versions['ringstone']} beside Redis "
              f"{versions['redis']}", 23, weight=700)
    what, flags = figures["pairing"].split(": ", 1)
    page.text(36, 69, f"{what[0].upper()}{what[1:]} ({flags}). {figures['clients']} connections, "
              f"pipelines of {figures['pipeline']}, values of 64 bytes, {bench.KEYS:,} keys.",
              13.5, picture.FAINT)
    page.text(36, 90, f"$ {figures['command']}", 12.5, picture.FAINT, mono=True)
    page.text(WIDTH - 36, 90, f"{figures['date']}, {figures['machine']}, one for the server "
              "and one for the client", 13, picture.FAINT, "end")
    x = 36
    for name, color in COLORS.items():
        page.line([(x, 113), (x + 26, 113)], color, 5)
        page.text(x + 34, 117.5, NAMES[name], 14, weight=600)
        x += 140
    for _, label, width, dash in LINES:
        page.line([(x, 113), (x + 34, 113)], picture.INK, width, dash)
        page.text(x + 42, 117.5, label, 13)
        x += 104


def draw_ladder(page, mix, top, up):
    """Latency by throughput."""
    most = max(point["per_second"] for points in mix["ladder"].values() for point in points)
    panel = picture.Panel(page, 104, top, 590, ROW - 110, picture.linear(most, rate_label), up)
    panel.axes(f"{mix['gets']} % GET, {100 - mix['gets']} % SET: latency by throughput",
               "commands answered a second", "latency, from when the pipeline was due")
    x, _ = panel.place(mix["rate"], up.ticks[0][0])
    page.line([(x, top), (x, top + panel.height)], picture.FAINT, 1, "2 4")
    page.text(x - 6, top + 14, f"{rate_label(mix['rate'])}/s: see right", 11.5, picture.FAINT,
              "end", halo=True)
    for name, points in reversed(mix["ladder"].items()):
        for key, _, width, dash in LINES:
            panel.curve([(point["per_second"], point[key]) for point in points], COLORS[name],
                        width, dash, dots=key == "p99_us")


def draw_curves(page, mix, top, up):
    """Latency by percentile, at one rate."""
    across = picture.percentiles(0.0001, (50, 90, 99, 99.9, 99.99))
    panel = picture.Panel(page, 790, top, 346, ROW - 110, across, up)
    panel.axes(f"Both at {rate_label(mix['rate'])} commands/s", "percentile of commands")
    curves = {name: [point for point in curve if point[0] >= 0.0001 * 0.99]
              for name, curve in mix["curves"].items()}
    for name, curve in reversed(curves.items()):
        panel.curve(curve, COLORS[name], 2.4)
    for slower in (0.5, 0.01, 0.001, 0.0001):
        at = {name: min(curve, key=lambda point: abs(point[0] / slower - 1))
              for name, curve in curves.items()}
        upper = max(at, key=lambda name: at[name][1])
        for name, (share, us) in at.items():
            x, y = panel.place(share, us)
            page.dot(x, y, COLORS[name], 3.4)
            # Curves rise to the right: there is room to the left above, and to the right below.
            if name == upper:
                page.text(x, y - 9, time_label(us), 12, COLORS[name],
                          "start" if slower == 0.5 else "end", 600, halo=True)
            else:
                page.text(x + 2, y + 19, time_label(us), 12, COLORS[name], "start", 600, halo=True)


def draw(figures):
    """The picture, as SVG."""
    height = HEADER + ROW * len(figures["mixes"]) + FOOTER
    title = "Latency and throughput of ringstone and Redis"
    page = picture.Page(WIDTH, height, title)
    draw_header(page, figures)
    up = picture.logarithmic(*bounds(figures), time_label)
    for number, mix in enumerate(figures["mixes"]):
        top = HEADER + number * ROW + 32
        draw_ladder(page, mix, top, up)
        draw_curves(page, mix, top, up)
    others = statistics.mean(point["others"] for mix in figures["mixes"]
                             for points in mix["ladder"].values() for point in points)
    page.text(36, height - 42, "Further right and lower is better. Each server is offered "
              f"{PARTS_OF_MAXIMUM[0] * 100:.0f} to 100 % of the most it answers. Medians of "
              f"{figures['rounds']} alternating rounds; other programs used {others:.2f} cores "
              "meanwhile.", 12.5, picture.FAINT)
    page.text(36, height - 22, "Pipelines come at random moments, whether or not earlier ones were "
              "answered (open loop), and time spent waiting for an idle connection counts: nothing "
              "slow is omitted.", 12.5, picture.FAINT)
    return page.done(json.dumps(figures))


def main():
    parser = argparse.ArgumentParser(
        prog="scripts/bench.sh --plot", description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="target/release/ringstone")
    parser.add_argument("--paced", default="target/release/examples/paced", help="the client")
    parser.add_argument("--pairing", default="b", choices=bench.PAIRINGS,
                        help="; ".join(f"{key}: {row[0]}" for key, row in bench.PAIRINGS.items()))
    parser.add_argument("--mixes", default=[90, 50], help="percentages of GET; the rest is SET",
                        type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--pipeline", default=16, type=int, help="commands sent together")
    parser.add_argument("--clients", default=bench.CLIENTS, type=int, help="connections")
    parser.add_argument("--rounds", default=3, type=int, help="runs per server and point")
    parser.add_argument("--seconds", default=1.0, type=float, help="of a run")
    parser.add_argument("--patience", default=60.0, type=float, metavar="SECONDS",
                        help="to wait for quiet and repeat what other programs disturbed")
    parser.add_argument("--out", default="benches/latency.svg", help="the picture")
    parser.add_argument("--redraw", action="store_true", help="only draw the figures in it anew")
    args = parser.parse_args()
    out = pathlib.Path(args.out)
    if args.redraw:
        root = ElementTree.parse(out).getroot()
        figures = json.loads(root.findtext("{http://www.w3.org/2000/svg}metadata"))
    else:
        args.binary = str(pathlib.Path(args.binary).resolve())
        directory = pathlib.Path(tempfile.mkdtemp(prefix="ringstone-plot-"))
        try:
            figures = measure(args, directory)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    out.write_text(draw(figures), encoding="utf-8")
    print(f"\n{out}: {figures['date']}, {figures['command']}")


if __name__ == "__main__":
    main()
