"""Benchmarks ringstone on FoundationDB: with grouping, with one transaction per command, and beside
a bare client loop.

All run against one cluster in turns, round by round, each idle while another is measured; the
tables hold medians, except for the slowest command, which is that of all rounds. Values have 64
bytes.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request

import bench

SCRIPTS = pathlib.Path(__file__).resolve().parent
VALUE_BYTES = 64
PIPELINE = 16
ONE_PER_COMMAND = ["--group-commands-max", "1", "--groups-in-flight-max", "64"]
# What the bare loop is given where the metrics do not tell how ringstone groups.
KEYS_PER_TRANSACTION = 200
TRANSACTIONS_IN_FLIGHT = 4
# Requests of one run of redis-benchmark, grouped and one per transaction.
REQUESTS = {"grouped": 400_000, "single": 60_000}
RUN_TIMEOUT_S = 600

# What is to be reached.
CONTENTION_RATIO = 50
CONTENTION_P99 = 3
CONTENTION_MAX_MS = 50
# Where the second process has not seen yet that the collection was created.
CREATION_CONFLICTS = 2
PIPELINE_RATIO = {"set": 3.0, "get": 1.5}
BARE_RATIO = 0.8
IDLE_RATIO = 1.15


class Verdicts:
    """Targets, and whether they were met."""

    def __init__(self):
        self.rows = []

    def judge(self, what, value, relation, target, unit=""):
        met = value >= target if relation == ">=" else value <= target
        self.rows.append((what, f"{value:,.2f}{unit}", f"{relation} {target:g}{unit}", met))

    def print(self):
        print("\nTargets\n\n| what | measured | target | |\n|---|---|---|---|")
        for what, value, target, met in self.rows:
            print(f"| {what} | {value} | {target} | {'met' if met else 'NOT MET'} |")
        print(flush=True)


def run_json(command):
    """The lines of JSON a program prints, by the name each holds."""
    run = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
    if run.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {run.stderr.strip()[-2000:]}")
    lines = map(json.loads, run.stdout.splitlines())
    return {line["name"]: line for line in lines}


def load(args, servers, workload, clients=bench.CLIENTS):
    command = [args.load, "--workload", workload, "--clients", str(clients),
               "--seconds", str(args.seconds)]
    for server in servers:
        command += ["--address", f"127.0.0.1:{server.port}"]
    return run_json(command)[workload]


def bare(args, mode, keys=KEYS_PER_TRANSACTION, in_flight=TRANSACTIONS_IN_FLIGHT):
    return run_json([args.bare, "--cluster-file", args.cluster_file, "--mode", mode,
                     "--prefix", "ringstone-bench-bare:", "--seconds", str(args.seconds),
                     "--range", str(bench.KEYS), "--keys", str(keys),
                     "--in-flight", str(in_flight), "--tasks", str(bench.CLIENTS)])


def redis_benchmark(server, test, requests):
    """Commands per second."""
    command = ["redis-benchmark", "-p", str(server.port), "-t", test, "-c", str(bench.CLIENTS),
               "-P", str(PIPELINE), "-n", str(requests), "-r", str(bench.KEYS),
               "-d", str(VALUE_BYTES), "--csv"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=True)
    return float(run.stdout.splitlines()[-1].split(",")[1].strip('"'))


def median(rows, name):
    return statistics.median(row[name] for row in rows)


def metric(text, pattern):
    """The sum of all samples whose name and labels match."""
    found = re.findall(rf"^(?:{pattern})(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
    return sum(map(float, found))


class Cluster:
    """Servers of ringstone on one cluster, to be stopped together."""

    def __init__(self, args, directory, stack):
        self.args, self.directory, self.stack, self.started = args, directory, stack, 0

    def server(self, root, flags=(), metrics=False):
        flags = ["--store", "foundationdb", "--cluster-file", self.args.cluster_file,
                 "--fdb-root", f"ringstone-bench-{root}", *flags]
        if self.args.workers:
            flags += ["--workers", str(self.args.workers)]
        port = bench.free_port() if metrics else None
        if metrics:
            flags += ["--metrics-listen", f"127.0.0.1:{port}"]
        self.started += 1
        home = self.directory / f"{root}-{self.started}"
        server = bench.start_ringstone(self.args.binary, flags, home)
        self.stack.callback(server.stop)
        server.metrics_port = port
        command(server, "FLUSHALL")
        self.stack.callback(command, server, "FLUSHALL")
        return server


def command(server, line):
    with socket.create_connection(("127.0.0.1", server.port), 30) as connection:
        connection.sendall(line.encode() + b"\r\n")
        return connection.recv(1 << 20).decode()


def metrics(server):
    """The metrics once they hold what has happened: they are copied every second."""
    time.sleep(1.5)
    address = f"http://127.0.0.1:{server.metrics_port}/metrics"
    with urllib.request.urlopen(address, timeout=10) as reply:
        return reply.read().decode()


def info(server, name):
    """A number that INFO tells; 0 when it does not."""
    run = subprocess.run(["redis-cli", "-p", str(server.port), "INFO", "everything"],
                         capture_output=True, text=True, timeout=30, check=True)
    found = re.search(rf"^{name}:(\d+)", run.stdout, re.MULTILINE)
    return int(found[1]) if found else 0


def conflicts(servers):
    """Commits that the cluster refused because of one another."""
    return sum(info(server, "store_conflicts") for server in servers)


def print_header(columns):
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns), flush=True)


def bench_contention(args, workload, title, servers, commit_ms, verdicts):
    """Fifty clients and one key, grouped and one transaction per command."""
    rows = {name: [] for name in servers}
    for turn in range(args.rounds):
        for name in list(servers)[:: 1 if turn % 2 == 0 else -1]:
            rows[name].append(load(args, [servers[name]], workload))
    print(f"\n{title}\n")
    print_header(["", "commands/s", "p50 ms", "p99 ms", "slowest ms", "errors", "miscounted"])
    miscounts = {}
    for name, runs in rows.items():
        miscounts[name] = sum(map(miscounted, runs))
        print(f"| {name} | {median(runs, 'per_second'):,.0f} | {median(runs, 'p50_ms'):.2f} "
              f"| {median(runs, 'p99_ms'):.2f} | {max(run['max_ms'] for run in runs):.1f} "
              f"| {sum(run['errors'] for run in runs)} | {miscounts[name]} |", flush=True)
    grouped, name = rows["grouped"], workload.upper()
    ratio = median(grouped, "per_second") / max(median(rows["single"], "per_second"), 0.01)
    if workload != "hset":
        # Commands on different fields do not conflict, so there is little for grouping to gain.
        verdicts.judge(f"{name}, one key: grouped / one transaction per command", ratio, ">=",
                       CONTENTION_RATIO)
    verdicts.judge(f"{name}, one key: p99 / bare blind commit",
                   median(grouped, "p99_ms") / commit_ms, "<=", CONTENTION_P99)
    verdicts.judge(f"{name}, one key: slowest", max(run["max_ms"] for run in grouped), "<=",
                   CONTENTION_MAX_MS, " ms")
    verdicts.judge(f"{name}, one key: errors", sum(run["errors"] for run in grouped), "<=", 0)
    if workload == "incr":
        verdicts.judge("INCR, one key: lost or counted twice", miscounts["grouped"], "<=", 0)


def miscounted(run):
    """How far a counter is from what it may be: what failed may have been counted or not."""
    least, counter = run["acknowledged"], run.get("counter", run["acknowledged"])
    return max(least - counter, counter - least - run["errors"], 0)


def bench_two_processes(args, pair, verdicts):
    """The same with the clients spread over two processes, and what the cluster refused."""
    print("\nThe same on two ringstone processes, 25 clients each\n")
    print_header(["", "commands/s", "p50 ms", "p99 ms", "slowest ms", "errors", "conflicts"])
    for workload in ("incr", "expire", "hset", "sadd"):
        before = conflicts(pair)
        run = load(args, pair, workload)
        print(f"| {workload.upper()} | {run['per_second']:,.0f} | {run['p50_ms']:.2f} "
              f"| {run['p99_ms']:.2f} | {run['max_ms']:.1f} | {run['errors']} "
              f"| {conflicts(pair) - before} |", flush=True)
        if workload in ("hset", "sadd"):
            verdicts.judge(f"{workload.upper()} of different elements on two processes: conflicts",
                           conflicts(pair) - before, "<=", CREATION_CONFLICTS)


def grouping(args, server, test):
    """Keys per transaction and transactions in flight under redis-benchmark, as ringstone tells."""
    def totals():
        if test == "get":
            return [info(server, "store_reads"), info(server, "store_transactions"), 0]
        text = metrics(server)
        return [metric(text, f"ringstone_group_{part}") for part in
                ("commands_sum", "commands_count", "seconds_sum")]

    before, requests = totals(), int(REQUESTS["grouped"] * args.scale)
    rate = redis_benchmark(server, test, requests)
    keys, transactions, seconds = (new - old for new, old in zip(totals(), before))
    if keys < 1 or transactions < 1:
        return KEYS_PER_TRANSACTION, TRANSACTIONS_IN_FLIGHT
    # Little's law: what is under way is what arrives times how long it takes.
    in_flight = round(seconds / (requests / rate)) if seconds else TRANSACTIONS_IN_FLIGHT
    return max(round(keys / transactions), 1), min(max(in_flight, 1), 64)


def bench_pipelines(args, servers, observed, verdicts):
    """redis-benchmark with pipelines, and the bare loop with groups of the same size."""
    print(f"\nredis-benchmark -c {bench.CLIENTS} -P {PIPELINE} -r {bench.KEYS} -d {VALUE_BYTES}\n")
    print_header(["", "grouped/s", "one per command/s", "ratio", "bare loop keys/s", "ratio",
                  "keys per transaction", "in flight"])
    for test in ("set", "get"):
        keys, in_flight = grouping(args, observed, test)
        rates = {"grouped": [], "single": [], "bare": []}
        for turn in range(args.rounds):
            for name in list(rates)[:: 1 if turn % 2 == 0 else -1]:
                if name == "bare":
                    mode = f"{test}s"
                    rates[name].append(bare(args, mode, keys, in_flight)[mode]["keys_per_second"])
                else:
                    requests = int(REQUESTS[name] * args.scale)
                    rates[name].append(redis_benchmark(servers[name], test, requests))
        grouped, single, loop = (statistics.median(rates[name]) for name in rates)
        print(f"| {test.upper()} | {grouped:,.0f} | {single:,.0f} | {grouped / single:.2f} "
              f"| {loop:,.0f} | {grouped / loop:.2f} | {keys} | {in_flight} |", flush=True)
        verdicts.judge(f"{test.upper()}, pipelines: grouped / one transaction per command",
                       grouped / single, ">=", PIPELINE_RATIO[test])
        verdicts.judge(f"{test.upper()}, pipelines: grouped / bare loop", grouped / loop, ">=",
                       BARE_RATIO)


def bench_idle(args, server, verdicts):
    """One client on a quiet server beside the bare loop; the bare commit's median."""
    rows = {name: [] for name in ("get", "set", "bare")}
    for turn in range(args.rounds):
        for name in list(rows)[:: 1 if turn % 2 == 0 else -1]:
            one = bare(args, "latency") if name == "bare" else load(args, [server], name, 1)
            rows[name].append(one)
    print("\nOne client, one command at a time\n")
    print_header(["", "p50 ms", "p99 ms"])
    names = ("read version", "read version and get", "blind commit")
    bare_rows = {name: [run[name] for run in rows["bare"]] for name in names}
    for name, runs in [*bare_rows.items(), ("GET", rows["get"]), ("SET", rows["set"])]:
        print(f"| {name} | {median(runs, 'p50_ms'):.3f} | {median(runs, 'p99_ms'):.3f} |")
    for ours, theirs in (("get", "read version and get"), ("set", "blind commit")):
        verdicts.judge(f"{ours.upper()}, one client: p50 / bare {theirs}",
                       median(rows[ours], "p50_ms") / median(bare_rows[theirs], "p50_ms"), "<=",
                       IDLE_RATIO)
    return median(bare_rows["blind commit"], "p50_ms")


def bench_bare_increments(args):
    run = bare(args, "incr")["increments of one key"]
    print(f"\nBare loop, {run['tasks']} tasks incrementing one key: {run['per_second']:,.0f}/s, "
          f"p50 {run['p50_ms']:.1f} ms, p99 {run['p99_ms']:.1f} ms, "
          f"slowest {run['max_ms']:.0f} ms, {run['retries']} retries for {run['done']} increments",
          flush=True)


def start_cluster(directory, stack):
    script = str(SCRIPTS / "fdb-dev.sh")
    place = ["--dir", str(directory / "cluster")]
    # Also when the start fails half way.
    stack.callback(subprocess.run, [script, "stop", *place])
    run = subprocess.run([script, "start", *place, "--engine", "ssd"], stdout=subprocess.PIPE,
                         text=True, timeout=120)
    if run.returncode != 0:
        raise SystemExit(1)
    return run.stdout.strip()


def run(args, directory, stack):
    if not args.cluster_file:
        args.cluster_file = start_cluster(directory, stack)
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, Linux {platform.release()}, "
          f"medians of {args.rounds} rounds of {args.seconds} s")
    verdicts = Verdicts()
    cluster = Cluster(args, directory, stack)
    servers = {"grouped": cluster.server("grouped"),
               "single": cluster.server("single", ONE_PER_COMMAND)}
    commit_ms = bench_idle(args, servers["grouped"], verdicts)
    if "contention" in args.parts:
        for workload, title in (("incr", "50 clients, INCR of one key"),
                                ("expire", "50 clients, EXPIRE of one key"),
                                ("hset", "50 clients, HSET of different fields of one hash")):
            bench_contention(args, workload, title, servers, commit_ms, verdicts)
        bench_bare_increments(args)
    pair = [cluster.server("pair", metrics=True) for _ in range(2)]
    if "contention" in args.parts:
        bench_two_processes(args, pair, verdicts)
    if "pipelines" in args.parts:
        for server in servers.values():
            load(args, [server], "get", 1)
        bench_pipelines(args, servers, pair[0], verdicts)
    verdicts.print()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=
                                     argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=["foundationdb"], help="this benchmark")
    parser.add_argument("--binary", default="target/release/ringstone")
    parser.add_argument("--load", default="target/release/examples/load")
    parser.add_argument("--bare", default="target/release/examples/bare_fdb")
    parser.add_argument("--cluster-file", help="a cluster to use; by default one is started")
    parser.add_argument("--parts", default="contention,pipelines",
                        type=lambda text: text.split(","), help="what to measure beside latency")
    parser.add_argument("--rounds", default=3, type=int, help="runs per figure")
    parser.add_argument("--seconds", default=5, type=int, help="of each timed run")
    parser.add_argument("--scale", default=1.0, type=float, help="factor on the request counts")
    parser.add_argument("--workers", default=0, type=int, help="ringstone's --workers")
    args = parser.parse_args()
    for name in ("binary", "load", "bare"):
        setattr(args, name, str(pathlib.Path(getattr(args, name)).resolve()))
    if args.cluster_file:
        args.cluster_file = str(pathlib.Path(args.cluster_file).resolve())
    directory = pathlib.Path(tempfile.mkdtemp(prefix="ringstone-bench-"))
    try:
        with contextlib.ExitStack() as stack:
            run(args, directory, stack)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
