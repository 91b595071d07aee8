"""What one tenant notices of another that floods, and what authorization costs: parts of bench.py.

The tenant that is measured sends GET and SET in turn over a few connections, one command at a time and
at a fixed rate; the other one keeps redis-benchmark busy with long pipelines. The server has one core
and the clients the other. The flood is the nicest process there and the measured client, if it may,
one that nothing else delays: what is compared is the server's waiting, not the clients'.
"""

import argparse
import contextlib
import gc
import json
import os
import random
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import time

CONNECTIONS = 4
RATE = 1000
KEYS = 1000
# Of 64 bytes, as they are common.
VALUE = b"v" * 64
FLOOD = ["-c", "50", "-P", "100", "-t", "set,get", "-r", "100000", "-n", "500000", "-l", "-q"]
STORES = {
    "memory": ["--store", "memory"],
    "embedded, interval": ["--store", "embedded", "--durability", "interval"],
    "embedded, sync": ["--store", "embedded", "--durability", "sync"],
}
SERVER_CORE, CLIENTS_CORE = {0}, {1}


def command(*words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


class Connection:
    """One command under way at most."""

    def __init__(self, port, token):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(command(b"AUTH", token))
        reply = self.socket.recv(4096)
        if reply != b"+OK\r\n":
            raise SystemExit(f"AUTH was answered with {reply!r}")
        self.name, self.since, self.is_busy = "", 0.0, False

    def send(self, name, key):
        words = (b"GET", key) if name == "get" else (b"SET", key, VALUE)
        self.name, self.is_busy, self.since = name, True, time.perf_counter()
        self.socket.sendall(command(*words))

    def receive(self):
        """The reply has come, all of it: it is short."""
        reply = self.socket.recv(4096)
        took = time.perf_counter() - self.since
        if not reply or reply[:1] == b"-":
            raise SystemExit(f"{self.name} was answered with {reply!r}")
        self.is_busy = False
        return self.name, took


def paced(port, seconds):
    """Measures latencies at a fixed rate; prints them as JSON, in microseconds."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    token = os.environ["KV_TOKEN"].encode()
    connections = [Connection(port, token) for _ in range(CONNECTIONS)]
    poll = select.epoll()
    for number, connection in enumerate(connections):
        poll.register(connection.socket, select.EPOLLIN)
    by_socket = {connection.socket.fileno(): connection for connection in connections}
    rng = random.Random(1)
    taken, late = {"get": [], "set": []}, 0
    gc.disable()
    begin = time.perf_counter()
    due, count = begin, 0
    while due < begin + seconds:
        for number, _ in poll.poll(max(due - time.perf_counter(), 0)):
            name, took = by_socket[number].receive()
            taken[name].append(took * 1e6)
        if time.perf_counter() < due:
            continue
        free = [connection for connection in connections if not connection.is_busy]
        if free:
            key = b"key:%012d" % rng.randrange(KEYS)
            free[count % len(free)].send("get" if count % 2 else "set", key)
            count += 1
        else:
            late += 1
        due += 1 / RATE
    print(json.dumps({"taken": taken, "late": late}))


class Tenants:
    """A key of its own, and tokens made with it."""

    def __init__(self, binary, directory):
        self.binary, self.directory = binary, directory
        subprocess.run([binary, "token", "keygen", "--out", str(directory)],
                       stdout=subprocess.DEVNULL, check=True)
        self.flags = ["--auth-public-key-file", str(directory / "ringstone-public.key")]

    def token(self, tenant, rights="read,write"):
        mint = [self.binary, "token", "mint", "--tenant", tenant, "--rights", rights,
                "--private-key-file", str(self.directory / "ringstone-private.key")]
        return subprocess.run(mint, capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def inherited(cores, niceness):
    """Processes started meanwhile run on these cores and are so nice, as far as the system permits."""
    before, usual = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, cores)
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    yield
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, before)
        os.setpriority(os.PRIO_PROCESS, 0, usual)


def percentile(taken, part):
    ordered = sorted(taken)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


def measure(server, token, seconds):
    """Latencies of one tenant: (GET p99, GET p99.9, SET p99, SET p99.9)."""
    with inherited(CLIENTS_CORE, 0):
        run = subprocess.run(
            [sys.executable, __file__, "--port", str(server.port), "--seconds", str(seconds)],
            env=dict(os.environ, KV_TOKEN=token), capture_output=True, text=True, check=True)
    taken = json.loads(run.stdout)["taken"]
    return [percentile(taken[name], part) for name in ("get", "set") for part in (0.99, 0.999)]


def may_hurry():
    """Whether priorities may be raised here."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) - 1)
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + 1)
        return True
    except OSError:
        return False


class Flood:
    """A tenant that sends as much as it can, except while it is stopped."""

    def __init__(self, server, token):
        # Where nothing can be put before it, it has to step back itself.
        with inherited(CLIENTS_CORE, -10 if may_hurry() else 10):
            self.process = subprocess.Popen(
                ["redis-benchmark", "-p", str(server.port), "-a", token, *FLOOD],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)

    def runs(self, does):
        self.process.send_signal(signal.SIGCONT if does else signal.SIGSTOP)
        time.sleep(0.2)

    def end(self):
        self.process.kill()
        self.process.wait()


def commands_done(server, token):
    """How many commands the server has executed, for all."""
    run = subprocess.run(["redis-cli", "-p", str(server.port), "info", "stats"],
                         env=dict(os.environ, REDISCLI_AUTH=token), capture_output=True, text=True)
    return int(re.search(r"total_commands_processed:(\d+)", run.stdout).group(1))


def bench_tenants(args, directory, start):
    """How much longer a tenant waits while another one floods."""
    tenants = Tenants(args.binary, directory / "keys")
    quiet, loud = tenants.token("quiet"), tenants.token("loud")
    operator = tenants.token("operator", "read,write,admin")
    print(f"\nA tenant with {RATE} commands/s while another one floods "
          f"(redis-benchmark {' '.join(FLOOD[:6])})\n")
    print("| store | command | p99 alone us | p99 flooded us | ratio | p99.9 alone us "
          "| p99.9 flooded us | ratio | flood/s |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    seconds, turns = max(2 * args.scale, 0.2), 4 * args.rounds
    for number, (store, flags) in enumerate(STORES.items()):
        if args.stores and store.split(", ")[-1] not in args.stores:
            continue
        # A process inherits where it may run, and how readily.
        with inherited(SERVER_CORE, -20):
            server = start(args.binary, [*flags, *tenants.flags], directory / f"tenants-{number}")
        flood = Flood(server, loud)
        rounds, rates = [], []
        for turn in range(turns):
            figures = {}
            for flooded in (False, True) if turn % 2 == 0 else (True, False):
                flood.runs(flooded)
                done, begin = commands_done(server, operator), time.perf_counter()
                figures[flooded] = measure(server, quiet, seconds)
                if flooded:
                    done = commands_done(server, operator) - done
                    rates.append(done / (time.perf_counter() - begin))
            rounds.append(figures)
        flood.end()
        server.stop()
        for name, at in (("GET", 0), ("SET", 2)):
            columns = []
            for place in (at, at + 1):
                alone = statistics.median(row[False][place] for row in rounds)
                flooded = statistics.median(row[True][place] for row in rounds)
                ratio = statistics.median(row[True][place] / row[False][place] for row in rounds)
                columns.append(f"{alone:,.0f} | {flooded:,.0f} | {ratio:.2f}")
            rate = f"{statistics.median(rates):,.0f}" if name == "GET" else ""
            print(f"| {store} | {name} | {' | '.join(columns)} | {rate} |", flush=True)


def bench_authorization(args, directory, start, compare, benchmark):
    """What it costs to ask a token about every command."""
    tenants = Tenants(args.binary, directory / "keys-of-one")
    token = tenants.token("only")
    memory = STORES["memory"]
    with inherited(os.sched_getaffinity(0), -10):
        servers = {
            "token": start(args.binary, [*memory, *tenants.flags], directory / "authorized"),
            "open": start(args.binary, memory, directory / "open"),
        }
    words = {servers["token"]: ["-a", token], servers["open"]: []}
    print("\nA plain token, beside a server without keys, in memory\n")
    print("| test | P | with a token/s | without/s | ratio | CPU us/command | CPU us/command without "
          "| ratio |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for test in ("get", "set"):
        for pipeline in (pipeline for pipeline in args.pipelines if pipeline > 1):
            count = int(2_000_000 * args.scale)
            result = compare(servers, 3 * args.rounds, lambda server: benchmark(
                server, [*words[server], "-t", test, "-r", "100000"], 50, pipeline, count))
            (ours, _, cost), (plain, _, plain_cost) = result["token"], result["open"]
            print(f"| {test.upper()} | {pipeline} | {ours:,.0f} | {plain:,.0f} | {ours / plain:.3f} "
                  f"| {cost:.3f} | {plain_cost:.3f} | {cost / plain_cost:.3f} |", flush=True)
    for server in servers.values():
        server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The client of the measured tenant; see bench.py")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    paced(options.port, options.seconds)
