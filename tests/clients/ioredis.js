// ioredis against the server at HOST PORT: commands, pipelines, transactions with WATCH, scanning.
// Usage: node ioredis.js MODULE HOST PORT. Over TLS if RINGSTONE_TEST_CA names a file with the CA. Ends with status 0 when every check held.
const assert = require("node:assert");
const [, , name, host, port] = process.argv;
const Redis = require(name);
const ca = process.env.RINGSTONE_TEST_CA;
const at = { host, port: Number(port), ...(ca && { tls: { ca: require("node:fs").readFileSync(ca) } }) };

async function main() {
  const client = new Redis({ ...at, db: 0, connectionName: "ioredis" });
  await client.flushall();
  assert.equal(await client.ping(), "PONG");
  assert.equal(await client.set("k", "v", "EX", 1000), "OK");
  assert.equal(await client.get("k"), "v");
  assert.equal(await client.set("k", "w", "NX"), null);
  assert.deepEqual(await client.mget("k", "missing"), ["v", null]);
  assert.equal(await client.incrby("n", 5), 5);
  const big = Buffer.alloc(150000, 7);
  await client.set("big", big);
  assert.ok((await client.getBuffer("big")).equals(big));

  const results = await client.pipeline().set("p", 1).incr("p").get("p").exec();
  assert.deepEqual(results, [[null, "OK"], [null, 2], [null, "2"]]);
  const many = client.pipeline();
  for (let i = 0; i < 500; i++) many.set(`key:${i}`, i);
  assert.equal((await many.exec()).length, 500);

  const block = await client.multi().set("t", "x").incr("t").get("t").exec();
  assert.equal(block[0][1], "OK");
  assert.match(block[1][0].message, /not an integer/);
  assert.equal(block[2][1], "x");
  await assert.rejects(client.call("NOSUCH", "x"), /unknown command/);

  const other = new Redis({ ...at });
  await client.watch("t");
  await other.set("t", "other");
  assert.equal(await client.multi().set("t", "mine").exec(), null);
  await client.watch("t");
  assert.deepEqual(await client.multi().set("t", "mine").exec(), [[null, "OK"]]);

  const seen = new Set();
  for await (const page of client.scanStream({ match: "key:*", count: 30 })) {
    page.forEach((key) => seen.add(key));
  }
  assert.equal(seen.size, 500);
  const third = new Redis({ ...at, db: 3 });
  await third.set("only3", 1);
  assert.equal(await client.exists("only3"), 0);
  assert.match(await client.info(), /redis_version:/);
  await Promise.all([client.quit(), other.quit(), third.quit()]);
  console.log(`${name}: ok`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
