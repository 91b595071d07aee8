"""Benchmarks ringstone and redis-server side by side with redis-benchmark.

Both servers run at once, one idle while the other is measured; rounds alternate between them, and the
table holds medians and their ratio, so that a machine that slows down slows both.
"""

import argparse
import atexit
import datetime
import os
import pathlib
import platform
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

import bench_collections as collections
import bench_metrics
import bench_tenants

TESTS = ["ping_mbulk", "set", "get", "incr", "mset"]
PIPELINES = [1, 16, 100]
CLIENTS = 50
KEYS = 100_000
IDLE_COUNTS = (0, 1_000, 10_000)
TICKS = os.sysconf("SC_CLK_TCK")

# name: (what is compared, ringstone's flags, redis-server's flags, requests by pipeline length)
PAIRINGS = {
    "a": (
        "every write synced: ringstone sync, Redis appendfsync always",
        ["--store", "embedded", "--durability", "sync"],
        ["--appendonly", "yes", "--appendfsync", "always"],
        {1: 30_000, 16: 300_000, 100: 1_000_000},
    ),
    "b": (
        "synced every second: ringstone interval, Redis appendfsync everysec",
        ["--store", "embedded", "--durability", "interval"],
        ["--appendonly", "yes", "--appendfsync", "everysec"],
        {1: 100_000, 16: 800_000, 100: 2_000_000},
    ),
    "c": (
        "in memory: ringstone memory, Redis without persistence",
        ["--store", "memory"],
        ["--appendonly", "no"],
        {1: 100_000, 16: 800_000, 100: 2_000_000},
    ),
}

# Ratios of throughput to reach, by pairing and test, for the pipeline lengths above.
TARGETS = {
    "a": {"set": (1.0, 1.2, 1.2), "incr": (1.0, 1.2, 1.2), "mset": (1.0, 1.2, 1.2),
          "get": (1.0, 1.0, 1.2)},
    "b": {"set": (1.0, 1.2, 1.5), "incr": (1.0, 1.2, 1.5), "mset": (1.0, 1.2, 1.5)},
    "c": {"set": (1.0, 1.1, 1.4), "get": (1.0, 1.1, 1.4), "incr": (1.0, 1.1, 1.4)},
}


def target(letter, test, pipeline):
    """The ratio to reach; tests of collections have the targets of SET and, if they read, GET."""
    alike = "get" if test.startswith("lrange") else "set"
    name = alike if test in collections.TESTS else test
    ratios = TARGETS[letter].get(name)
    return f"{ratios[PIPELINES.index(pipeline)]:.1f}" if ratios else "-"


class Server:
    """A server process on a port of its own, with a directory of its own."""

    def __init__(self, command, port, directory):
        self.port = port
        log = open(directory / "log", "wb")
        self.process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)
        # Also when a measurement fails; nothing happens to one that was stopped.
        atexit.register(self.process.kill)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise SystemExit(f"{command[0]} did not start; see {directory}/log") from None
                time.sleep(0.02)

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_ringstone(binary, flags, directory):
    directory.mkdir(parents=True)
    port = free_port()
    command = [binary, "--listen", f"127.0.0.1:{port}", "--data-dir", str(directory / "data")]
    if "--metrics-listen" not in flags:
        command += ["--metrics-listen", f"127.0.0.1:{free_port()}"]
    return Server(command + flags, port, directory)


def start_redis(flags, directory):
    directory.mkdir(parents=True)
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
               "--dir", str(directory)]
    return Server(command + flags, port, directory)


def measure(server, test, pipeline, requests):
    """One run: requests per second, p99 in milliseconds, CPU microseconds per command."""
    if test in collections.TESTS:
        collections.prepare(server, test, requests, fill)
        if test.startswith("lrange"):
            requests = max(requests // collections.LRANGE_PART, 1000)
    return benchmark(server, ["-t", test, "-r", str(KEYS)], CLIENTS, pipeline, requests)


def fill(server, test, requests):
    """Runs a test that is not measured, so often that another one finds enough to take away."""
    benchmark(server, ["-t", test, "-r", str(requests)], CLIENTS, 100, requests)


def benchmark(server, what, clients, pipeline, requests):
    command = ["redis-benchmark", "-p", str(server.port), "-c", str(clients), "-P", str(pipeline),
               "-n", str(requests), "--csv", *what]
    before = server.cpu_seconds()
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    cpu = server.cpu_seconds() - before
    # The name of what was measured comes first, and may have commas and quotes of its own.
    figures = [text.strip('"') for text in run.stdout.splitlines()[-1].rsplit(",", 7)[1:]]
    return float(figures[0]), float(figures[5]), cpu / requests * 1e6


def compare(servers, rounds, measure):
    """Medians of alternating rounds, for each server."""
    samples = {name: [] for name in servers}
    for turn in range(rounds):
        order = list(servers) if turn % 2 == 0 else list(reversed(servers))
        for name in order:
            samples[name].append(measure(servers[name]))
    return {name: [statistics.median(column) for column in zip(*rows)]
            for name, rows in samples.items()}


def bench_pairing(letter, args, directory):
    title, ringstone_flags, redis_flags, requests = PAIRINGS[letter]
    if args.workers:
        ringstone_flags = ringstone_flags + ["--workers", str(args.workers)]
    servers = {
        "ringstone": start_ringstone(args.binary, ringstone_flags, directory / letter / "ringstone"),
        "redis": start_redis(redis_flags, directory / letter / "redis"),
    }
    print(f"\n({letter}) {title}\n", flush=True)
    print("| test | P | ringstone/s | Redis/s | ratio | target | p99 ms | Redis p99 ms "
          "| CPU us/cmd | Redis CPU us/cmd |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for test in args.tests:
        for pipeline in args.pipelines:
            count = max(int(requests[pipeline] * args.scale), 1000)
            result = compare(servers, args.rounds,
                             lambda server: measure(server, test, pipeline, count))
            ours, theirs = result["ringstone"], result["redis"]
            print(f"| {test.upper()} | {pipeline} | {ours[0]:,.0f} | {theirs[0]:,.0f} "
                  f"| {ours[0] / theirs[0]:.2f} | {target(letter, test, pipeline)} | {ours[1]:.2f} | {theirs[1]:.2f} "
                  f"| {ours[2]:.2f} | {theirs[2]:.2f} |", flush=True)
    for server in servers.values():
        server.stop()


def bench_large(args, directory):
    """Large collections beside Redis, and documents."""
    def compare_commands(servers, words, requests, clients, pipeline):
        return compare(servers, args.rounds,
                       lambda server: benchmark(server, words, clients, pipeline, requests))

    _, ringstone_flags, redis_flags, _ = PAIRINGS["c"]
    servers = {
        "ringstone": start_ringstone(args.binary, ringstone_flags, directory / "large-r"),
        "redis": start_redis(redis_flags, directory / "large"),
    }
    if "sets" in args.parts:
        collections.bench_sets(args, servers, compare_commands)
    if "documents" in args.parts:
        collections.bench_documents(args, servers["ringstone"], compare_commands)
    for server in servers.values():
        server.stop()


def bench_tls(args, directory):
    """Both servers in memory, over TLS."""
    subprocess.run([args.binary, "cert", "self-signed", "--out", str(directory / "tls")],
                   stdout=subprocess.DEVNULL, check=True)
    cert, key = str(directory / "tls/cert.pem"), str(directory / "tls/key.pem")
    _, ringstone_flags, redis_flags, requests = PAIRINGS["c"]
    ports = [free_port(), free_port()]
    workers = ["--workers", str(args.workers)] if args.workers else []
    servers = {
        "ringstone": start_ringstone(args.binary, [
            *ringstone_flags, *workers, "--tls-listen", f"127.0.0.1:{ports[0]}", "--tls-cert", cert,
            "--tls-key", key], directory / "tls-r"),
        "redis": start_redis([
            *redis_flags, "--tls-port", str(ports[1]), "--tls-cert-file", cert,
            "--tls-key-file", key, "--tls-auth-clients", "no"], directory / "tls-redis"),
    }
    for server, port in zip(servers.values(), ports):
        server.port = port
    print("\nOver TLS, in memory\n")
    print("| test | P | ringstone/s | Redis/s | ratio | CPU us/command | Redis CPU us/command |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for test in (test for test in args.tests if test in ("set", "get")):
        for pipeline in args.pipelines:
            count = int(requests[pipeline] * args.scale / 2)
            what = ["--tls", "--insecure", "-t", test, "-r", str(KEYS)]
            ours, theirs = compare(servers, args.rounds, lambda server: benchmark(
                server, what, CLIENTS, pipeline, count)).values()
            print(f"| {test.upper()} | {pipeline} | {ours[0]:,.0f} | {theirs[0]:,.0f} | "
                  f"{ours[0] / theirs[0]:.2f} | {ours[2]:.2f} | {theirs[2]:.2f} |", flush=True)
    for server in servers.values():
        server.stop()


def bench_idle(args, directory):
    """Resident memory with idle connections."""
    print("\nResident memory with idle connections\n")
    print("| connections | ringstone MiB | Redis MiB |")
    print("|---|---|---|", flush=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(12_000, hard), hard))
    flags = ["--maxclients", "11000"]
    starts = [
        lambda: start_ringstone(args.binary, ["--store", "memory"] + flags, directory / "idle-r"),
        lambda: start_redis(["--appendonly", "no"] + flags, directory / "idle"),
    ]
    columns = []
    for start in starts:
        server = start()
        opened, column = [], []
        for count in IDLE_COUNTS:
            while len(opened) < count:
                connection = socket.create_connection(("127.0.0.1", server.port))
                connection.sendall(b"PING\r\n")
                connection.recv(16)
                opened.append(connection)
            column.append(server.rss_bytes() / 2**20)
        columns.append(column)
        for connection in opened:
            connection.close()
        server.stop()
    for count, ours, theirs in zip(IDLE_COUNTS, *columns):
        print(f"| {count:,} | {ours:.1f} | {theirs:.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="target/release/ringstone")
    parser.add_argument("--paced", default="target/release/examples/paced",
                        help="the client of part metrics")
    parser.add_argument("--pairings", default="abc", help="which of a, b, c (default: all)")
    parser.add_argument("--tests", default=",".join([*TESTS, *collections.TESTS]),
                        type=lambda text: text.split(","), help="of redis-benchmark (-t)")
    parser.add_argument("--parts",
                        default="pairings,sets,documents,tls,tenants,authorization,metrics,idle",
                        type=lambda text: text.split(","), help="what to measure")
    parser.add_argument("--pipelines", default=PIPELINES,
                        type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--rounds", default=3, type=int, help="runs per server and figure")
    parser.add_argument("--scale", default=1.0, type=float, help="factor on the request counts")
    parser.add_argument("--stores", default="", help="of part tenants: memory, interval, sync")
    parser.add_argument("--workers", default=0, type=int, help="ringstone's --workers")
    args = parser.parse_args()
    args.binary = str(pathlib.Path(args.binary).resolve())
    directory = pathlib.Path(tempfile.mkdtemp(prefix="ringstone-bench-"))
    try:
        redis = subprocess.run(["redis-server", "--version"], capture_output=True, text=True)
        print(f"{datetime.date.today()}, {os.cpu_count()} cores, Linux {platform.release()}, "
              f"redis-benchmark -c {CLIENTS} -r {KEYS}, medians of {args.rounds} rounds")
        print(redis.stdout.strip())
        for letter in args.pairings if "pairings" in args.parts else "":
            bench_pairing(letter, args, directory)
        if "sets" in args.parts or "documents" in args.parts:
            bench_large(args, directory)
        if "tls" in args.parts:
            bench_tls(args, directory)
        if "tenants" in args.parts:
            bench_tenants.bench_tenants(args, directory, start_ringstone)
        if "authorization" in args.parts:
            bench_tenants.bench_authorization(args, directory, start_ringstone, compare, benchmark)
        if "metrics" in args.parts:
            bench_metrics.bench_recording(args, directory, start_ringstone)
            bench_metrics.bench_scraping(args, directory, start_ringstone, free_port)
        if "idle" in args.parts:
            bench_idle(args, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
