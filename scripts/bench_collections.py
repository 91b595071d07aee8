"""What scripts/bench.py measures of collections and documents, beside Redis where Redis has them.

Imported by bench.py, which has the servers and the alternation of rounds.
"""

import json
import random
import subprocess
import time

# redis-benchmark's own tests, and what has to be there before.
TESTS = {
    "lpush": None, "rpush": None, "lpop": "lpush", "rpop": "lpush", "sadd": None, "hset": None,
    "spop": "sadd", "zadd": None, "zpopmin": "zadd", "lrange_100": None, "lrange_300": None,
    "lrange_500": None, "lrange_600": None,
}
# Ranges are long: fewer of them.
LRANGE_PART = 10
MEMBERS = 10_000
LARGE = 1_000_000
# A server is quiet when it uses less of a core than this.
QUIET = 0.1


def settle(server, deadline_s=60):
    """Waits until the server has nothing to do: what was removed before may still be reclaimed."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        before = server.cpu_seconds()
        time.sleep(0.2)
        if server.cpu_seconds() - before < QUIET * 0.2:
            return


def cli(server, *words, stdin=None):
    run = subprocess.run(["redis-cli", "-p", str(server.port), *words], input=stdin, check=True,
                         capture_output=True, text=True, timeout=600)
    return run.stdout.strip()


def prepare(server, test, requests, fill):
    """Empties the server and adds what the test takes away."""
    cli(server, "FLUSHALL")
    before = TESTS.get(test)
    if before:
        fill(server, before, requests)
    settle(server)


def fill_sets(server, rng):
    """Two sets of which about half is in both, and a large sorted set."""
    cli(server, "FLUSHALL")
    for name in ("one", "other"):
        members = rng.sample(range(2 * MEMBERS), MEMBERS)
        for first in range(0, MEMBERS, 1000):
            cli(server, "SADD", name, *map(str, members[first:first + 1000]))
    lines = []
    for first in range(0, LARGE, 500):
        pairs = " ".join(f"{number} member:{number}" for number in range(first, first + 500))
        lines.append(f"ZADD large {pairs}")
    cli(server, stdin="\n".join(lines) + "\n")
    settle(server)


SET_COMMANDS = {
    f"SINTER of two sets of {MEMBERS:,}": (["SINTER", "one", "other"], 2_000),
    f"SUNION of two sets of {MEMBERS:,}": (["SUNION", "one", "other"], 1_000),
    f"ZRANGE of 100 at the middle of {LARGE:,}": (
        ["ZRANGE", "large", str(LARGE // 2), str(LARGE // 2 + 99)], 50_000),
    f"ZRANK in {LARGE:,}": (["ZRANK", "large", f"member:{LARGE // 3}"], 50_000),
}


def bench_sets(args, servers, compare_commands):
    """Commands on large collections, one client at a time."""
    rng = random.Random(1)
    for server in servers.values():
        state = rng.getstate()
        fill_sets(server, rng)
        rng.setstate(state)
    print("\nLarge collections in memory, 4 clients, no pipelining\n")
    print("| command | ringstone/s | Redis/s | ratio | p99 ms | Redis p99 ms |")
    print("|---|---|---|---|---|---|", flush=True)
    for title, (words, requests) in SET_COMMANDS.items():
        count = max(int(requests * args.scale), 100)
        result = compare_commands(servers, words, count, clients=4, pipeline=1)
        ours, theirs = result["ringstone"], result["redis"]
        print(f"| {title} | {ours[0]:,.0f} | {theirs[0]:,.0f} | {ours[0] / theirs[0]:.2f} "
              f"| {ours[1]:.2f} | {theirs[1]:.2f} |", flush=True)


def document(length, rng):
    """A document of about so many bytes, of the kind applications keep."""
    items, size = [], 0
    while size < length - 60:
        item = {"id": rng.randrange(10**9), "name": f"item {rng.randrange(10**6)}",
                "price": round(rng.random() * 1000, 2), "tags": ["red", "blue"], "ok": True}
        items.append(item)
        size += len(json.dumps(item, separators=(",", ":"))) + 1
    return json.dumps({"kind": "order", "items": items}, separators=(",", ":"))


def bench_documents(args, server, compare_commands):
    """JSON.SET and JSON.GET; Redis has no documents of its own, so there is nothing beside it."""
    print("\nDocuments in memory, 16 clients, no pipelining\n")
    print("| command | documents/s | p99 ms |")
    print("|---|---|---|", flush=True)
    rng = random.Random(2)
    for title, length, requests in (("1 KiB", 1024, 100_000), ("100 KiB", 100 * 1024, 5_000)):
        text = document(length, rng)
        count = max(int(requests * args.scale), 100)
        for words, what in (
            (["JSON.SET", "doc", "$", text], "JSON.SET of the root"),
            (["JSON.GET", "doc"], "JSON.GET of the root"),
            (["JSON.GET", "doc", "$.items[0].name"], "JSON.GET of one member"),
            (["JSON.SET", "doc", "$.kind", '"refund"'], "JSON.SET of one member"),
        ):
            result = compare_commands({"ringstone": server}, words, count, clients=16, pipeline=1)
            rate, p99, _ = result["ringstone"]
            print(f"| {what}, {title} | {rate:,.0f} | {p99:.2f} |", flush=True)
