"""What it costs to be observed: parts of bench.py.

Differences of less than 1 % are looked for, so many short rounds alternate between the two that are
compared, each pair of neighbours gives one ratio, and medians of ratios are reported with their
quartiles. How a process happens to lie in memory alone can make a difference of that size: hence
new processes after a few rounds.
"""

import contextlib
import os
import socket
import statistics
import threading
import time

import bench_tenants
import paced

PIPELINE, CLIENTS = 16, 50
TESTS = {"GET": 100, "SET": 0}
MEMORY = ["--store", "memory"]
UNOBSERVED = ["--metrics-listen", "off", "--latency-tracking", "no"]
# Rounds with the same two processes.
ROUNDS = 4
# Other programs may keep the client from its core for all of a short round.
ATTEMPTS = 5
SCRAPE_EVERY_S = (None, 1.0, 0.1)
ENTIRE_COST, SCRAPE_COST = 0.01, 0.05


def spread(ratios):
    """The median and the quartiles, in words."""
    lower, median, upper = statistics.quantiles(ratios, n=4)
    return f"{median:.4f} ({lower:.4f} to {upper:.4f})"


def flat_out(args, server, gets, seconds):
    """As many commands as the server answers."""
    for _ in range(ATTEMPTS):
        figures = paced.run(args.paced, server, gets=gets, pipeline=PIPELINE, clients=CLIENTS,
                            milliseconds=round(1000 * seconds), warm_up_milliseconds=100)
        if figures["per_second"] > 0 and figures["measured"] > 0:
            return figures
    raise SystemExit("the machine is too busy: nothing was answered in time")


def start_one(args, directory, name, start, flags):
    with bench_tenants.inherited(bench_tenants.SERVER_CORE, -20):
        server = start(args.binary, [*MEMORY, "--workers", "1", *flags], directory / name)
    paced.run(args.paced, server, fill=True, milliseconds=100)
    return server


def bench_recording(args, directory, start):
    """Throughput and CPU time with metrics and latency tracking, and without."""
    rows = {test: [] for test in TESTS}
    for block in range(2 * args.rounds):
        names = ("observed", "unobserved") if block % 2 == 0 else ("unobserved", "observed")
        servers = {name: start_one(args, directory, f"{name}-{block}", start,
                                   UNOBSERVED if name == "unobserved" else []) for name in names}
        for turn in range(ROUNDS):
            for test, gets in TESTS.items():
                order = names if turn % 2 == 0 else reversed(names)
                rows[test].append({name: flat_out(args, servers[name], gets, 0.5 * args.scale)
                                   for name in order})
        for server in servers.values():
            server.stop()
    print(f"\nRecording metrics and latencies beside `{' '.join(UNOBSERVED)}`, in memory, P {PIPELINE}: "
          f"medians of {2 * args.rounds * ROUNDS} rounds; in brackets the quartiles of ratios\n")
    print("| test | recording/s | without/s | ratio | CPU us/command | without | ratio | target |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for test, pairs in rows.items():
        columns = []
        for figure in ("per_second", "cpu_us"):
            digits = ",.0f" if figure == "per_second" else ".3f"
            for name in ("observed", "unobserved"):
                columns.append(format(statistics.median(row[name][figure] for row in pairs), digits))
            columns.append(spread([row["observed"][figure] / row["unobserved"][figure]
                                   for row in pairs]))
        print(f"| {test} | {' | '.join(columns)} | within {ENTIRE_COST:.0%} |", flush=True)
    print_others(figures for pairs in rows.values() for row in pairs for figures in row.values())


def print_others(all_figures):
    others = statistics.median(figures["others"] for figures in all_figures)
    print(f"\nOther programs used {others:.2f} cores meanwhile.", flush=True)


class Scraper(threading.Thread):
    """Reads all metrics again and again, on the clients' core, until it is stopped."""

    def __init__(self, port, every_s):
        super().__init__(daemon=True)
        self.port, self.every_s = port, every_s
        self.stopped, self.took_ms, self.bytes = threading.Event(), [], 0

    def run(self):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, bench_tenants.CLIENTS_CORE)
        due = time.monotonic()
        while not self.stopped.wait(max(due - time.monotonic(), 0)):
            begin = time.monotonic()
            self.bytes = self.scrape()
            self.took_ms.append((time.monotonic() - begin) * 1000)
            due += self.every_s

    def scrape(self):
        """How many bytes came."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            parts = iter(lambda: connection.recv(1 << 18), b"")
            first = next(parts, b"")
            if not first.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"the metrics were answered with {first[:200]!r}")
            return len(first) + sum(map(len, parts))


def bench_scraping(args, directory, start, free_port):
    """Latencies under full load while somebody reads the metrics, and while nobody does."""
    port = free_port()
    server = start_one(args, directory, "scraped", start, ["--metrics-listen", f"127.0.0.1:{port}"])
    rows, took_ms, size = [], {every: [] for every in SCRAPE_EVERY_S}, 0
    for turn in range(4 * args.rounds):
        row = {}
        first = turn % len(SCRAPE_EVERY_S)
        for every in SCRAPE_EVERY_S[first:] + SCRAPE_EVERY_S[:first]:
            scraper = Scraper(port, every) if every else None
            if scraper:
                scraper.start()
            row[every] = flat_out(args, server, 50, 2 * args.scale)
            if scraper:
                scraper.stopped.set()
                scraper.join()
                took_ms[every] += scraper.took_ms
                size = scraper.bytes
        rows.append(row)
    server.stop()
    print(f"\nClients under full load (half GET, half SET, P {PIPELINE}) while {size:,} bytes of metrics "
          f"are read: medians of {len(rows)} rounds\n")
    print("| read | commands/s | p50 us | p99 us | p99 ratio | target | p99.9 us | a read takes, ms |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for every in SCRAPE_EVERY_S:
        rate, p50, p99, p999 = (statistics.median(row[every][name] for row in rows) for name in (
            "per_second", "p50_us", "p99_us", "p999_us"))
        title = f"every {every:g} s" if every else "never"
        ratio = spread([row[every]["p99_us"] / row[None]["p99_us"] for row in rows]) if every else ""
        target = f"at most {1 + SCRAPE_COST:.2f}" if every else ""
        took = f"{statistics.median(took_ms[every]):.1f}" if every else ""
        print(f"| {title} | {rate:,.0f} | {p50:,.0f} | {p99:,.0f} | {ratio} | {target} "
              f"| {p999:,.0f} | {took} |", flush=True)
    print_others(figures for row in rows for figures in row.values())
