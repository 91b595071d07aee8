"""redis-py against the server at HOST PORT: both protocols, blocking and asyncio.

Usage: redis_py.py HOST PORT. Over TLS if RINGSTONE_TEST_CA names a file with the CA. Ends with status 0 when every check held.
"""

import asyncio
import os
import sys
import threading

import redis
import redis.asyncio

CA = os.environ.get("RINGSTONE_TEST_CA")
TLS = {"ssl": True, "ssl_ca_certs": CA} if CA else {}


def strings(client):
    assert client.ping() is True
    assert client.set("k", "v") is True
    assert client.get("k") == b"v"
    assert client.set("k", "w", nx=True) is None
    assert client.set("k", "w", get=True) == b"v"
    assert client.get("missing") is None
    assert client.mset({"a": 1, "b": 2}) is True
    assert client.mget("a", "b", "missing") == [b"1", b"2", None]
    assert client.incr("n") == 1 and client.incrby("n", 41) == 42
    assert client.incrbyfloat("f", 1.5) == 1.5
    assert client.append("k", "x" * 100_000) == 100_001
    assert client.getrange("k", 99_999, -1) == b"xx"
    assert client.setbit("bits", 7, 1) == 0 and client.bitcount("bits") == 1
    assert client.bitfield("field").set("u8", 0, 255).get("u4", 0).execute() == [0, 15]
    assert client.lcs("a", "b", len=True) == 0
    assert client.set("binary", bytes(range(256))) and client.get("binary") == bytes(range(256))


def keys(client):
    client.flushall()
    client.mset({f"key:{i}": i for i in range(500)})
    assert client.dbsize() == 500
    assert sorted(client.scan_iter(match="key:*", count=50)) == sorted(client.keys("*"))
    assert client.expire("key:1", 1000) is True and 990 < client.ttl("key:1") <= 1000
    assert client.persist("key:1") is True and client.ttl("key:1") == -1
    assert client.rename("key:1", "renamed") is True and client.exists("key:1") == 0
    assert client.copy("renamed", "copied") is True and client.delete("renamed", "copied") == 2
    assert client.type("key:2") == b"string"
    assert client.object("encoding", "key:2") in (b"int", b"embstr", b"raw")
    assert client.memory_usage("key:2") > 0


def pipelines(client):
    with client.pipeline(transaction=False) as pipe:
        for i in range(1000):
            pipe.set(f"p:{i}", i)
            pipe.incr("counter")
        results = pipe.execute()
    assert results[-1] == 1000 and len(results) == 2000
    with client.pipeline() as pipe:
        results = pipe.set("t", "1").incr("t").get("t").execute()
    assert results == [True, 2, b"2"]
    with client.pipeline() as pipe:
        pipe.set("t", "abc").incr("t").set("after", "1")
        try:
            pipe.execute()
            raise AssertionError("an error was expected")
        except redis.ResponseError as error:
            assert "not an integer" in str(error)
    assert client.get("after") == b"1"


def watched(client):
    client.set("balance", 0)

    def add():
        for _ in range(25):
            client.transaction(
                lambda pipe: (lambda now: pipe.multi() or pipe.set("balance", now + 1))(
                    int(pipe.get("balance"))
                ),
                "balance",
            )

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get("balance") == b"100", client.get("balance")
    with client.pipeline() as pipe:
        pipe.watch("balance")
        client.set("balance", "changed")
        pipe.multi()
        pipe.set("balance", "mine")
        try:
            pipe.execute()
            raise AssertionError("a WatchError was expected")
        except redis.WatchError:
            pass


def connection(client, connect):
    assert client.echo("hi") == b"hi"
    assert client.client_setname("tester") is True and client.client_getname() is not None
    assert client.client_id() > 0
    info = client.info()
    assert info["redis_version"] and info["role"] == "master" and info["loading"] == 0
    assert client.time()[0] > 1_600_000_000
    assert any(entry["id"] for entry in client.client_list())
    other = connect(db=3)
    other.set("only3", "x")
    assert client.exists("only3") == 0 and other.exists("only3") == 1
    try:
        client.execute_command("NOSUCHCOMMAND", "x")
        raise AssertionError("an error was expected")
    except redis.ResponseError as error:
        assert str(error).startswith("unknown command"), error
    assert client.ping() is True


def slow_commands(client):
    assert client.config_set("slowlog-log-slower-than", -1) is True
    assert client.slowlog_reset() is True and client.slowlog_len() == 0
    assert client.slowlog_get() == []
    assert client.config_set("slowlog-log-slower-than", 0) is True
    assert client.set("k", "v") is True
    entry = client.slowlog_get(1)[0]
    assert entry["command"] == b"SET k v" and entry["id"] >= 0, entry
    assert entry["duration"] >= 0 and entry["start_time"] > 1_600_000_000, entry
    assert b":" in entry["client_address"] and isinstance(entry["client_name"], bytes), entry
    assert client.config_set("slowlog-log-slower-than", 10_000) is True
    assert client.config_get("slowlog-*") == {
        "slowlog-log-slower-than": "10000",
        "slowlog-max-len": "128",
    }
    assert client.latency_reset() == 0 and client.latency_reset("command") == 0
    assert client.latency_latest() == [] and client.latency_history("command") == []
    histogram = client.execute_command("LATENCY", "HISTOGRAM", "set")
    fields = histogram[b"set"] if isinstance(histogram, dict) else histogram[1]
    assert b"calls" in fields and b"histogram_usec" in fields, histogram


async def asynchronous(host, port, protocol):
    client = redis.asyncio.Redis(host=host, port=port, protocol=protocol, **TLS)
    await client.flushall()
    assert await client.set("k", "v", ex=1000) is True
    assert await client.get("k") == b"v"
    await asyncio.gather(*(client.incr("n") for _ in range(50)))
    assert await client.get("n") == b"50"
    async with client.pipeline(transaction=True) as pipe:
        assert await pipe.set("a", 1).incr("a").execute() == [True, 2]
    async with client.pipeline(transaction=True) as pipe:
        await pipe.watch("a")
        await client.set("a", 5)
        pipe.multi()
        pipe.get("a")
        try:
            await pipe.execute()
            raise AssertionError("a WatchError was expected")
        except redis.WatchError:
            pass
    assert sorted([key async for key in client.scan_iter()]) == [b"a", b"k", b"n"]
    await client.close()


def main():
    host, port = sys.argv[1], int(sys.argv[2])
    for protocol in (2, 3):

        def connect(**options):
            return redis.Redis(host=host, port=port, protocol=protocol, **TLS, **options)

        client = connect(client_name="redis-py")
        client.flushall()
        strings(client)
        keys(client)
        pipelines(client)
        watched(client)
        connection(client, connect)
        slow_commands(client)
        asyncio.run(asynchronous(host, port, protocol))
        print(f"redis-py {redis.__version__} protocol {protocol}: ok")


main()
