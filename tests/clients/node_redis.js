// node-redis against the server at HOST PORT, with both protocols.
// Usage: node node_redis.js MODULE HOST PORT. Over TLS if RINGSTONE_TEST_CA names a file with the CA. Ends with status 0 when every check held.
const assert = require("node:assert");
const [, , name, host, port] = process.argv;
const redis = require(name);
const file = process.env.RINGSTONE_TEST_CA;
const tls = file && { tls: true, ca: require("node:fs").readFileSync(file) };

async function connect(options) {
  const client = redis.createClient({ socket: { host, port: Number(port), ...tls }, ...options });
  client.on("error", (error) => {
    console.error(error);
    process.exit(1);
  });
  await client.connect();
  return client;
}

async function check(options) {
  const client = await connect({ ...options, name: "node-redis" });
  await client.flushAll();
  assert.equal(await client.ping(), "PONG");
  assert.equal(await client.set("k", "v", { EX: 1000 }), "OK");
  assert.equal(await client.get("k"), "v");
  assert.equal(await client.get("missing"), null);
  assert.equal(await client.set("k", "w", { NX: true }), null);
  assert.deepEqual(await client.mGet(["k", "missing"]), ["v", null]);
  assert.equal(await client.incr("n"), 1);
  const ttl = await client.ttl("k");
  assert.ok(ttl > 990 && ttl <= 1000);
  // Sent in one tick, so pipelined.
  const replies = await Promise.all(Array.from({ length: 500 }, (_, i) => client.set(`key:${i}`, `${i}`)));
  assert.ok(replies.every((reply) => reply === "OK"));
  assert.deepEqual(await client.multi().set("t", "1").incr("t").get("t").exec(), ["OK", 2, "2"]);
  await assert.rejects(client.sendCommand(["NOSUCH", "x"]), /unknown command/);

  const other = await connect(options);
  await client.watch("t");
  await other.set("t", "other");
  await assert.rejects(client.multi().set("t", "mine").exec(), redis.WatchError);
  await client.watch("t");
  assert.deepEqual(await client.multi().set("t", "mine").exec(), ["OK"]);

  const seen = new Set();
  for await (const found of client.scanIterator({ MATCH: "key:*", COUNT: 30 })) {
    [found].flat().forEach((key) => seen.add(key));
  }
  assert.equal(seen.size, 500);
  const third = await connect({ ...options, database: 3 });
  await third.set("only3", "x");
  assert.equal(await client.exists("only3"), 0);
  await Promise.all([client.quit(), other.quit(), third.quit()]);
}

async function main() {
  for (const RESP of name.includes("old") ? [2] : [2, 3]) await check({ RESP });
  console.log(`${name}: ok`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
