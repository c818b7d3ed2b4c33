// Transactions of kafkajs, which speaks the older protocol: transactions.js BOOTSTRAP. Prints a line of JSON for each
// scenario: its name, and what failed if it did. NODE_PATH names the directory of the modules.
"use strict";

const assert = require("node:assert");
const { Kafka, logLevel } = require("kafkajs");

const kafka = new Kafka({ clientId: "transactions", brokers: [process.argv[2]], logLevel: logLevel.NOTHING });
const admin = kafka.admin();
const patience = 60_000; // milliseconds

const pause = () => new Promise((resolve) => setTimeout(resolve, 100));

async function topic(name, numPartitions = 1) {
  await admin.createTopics({ topics: [{ topic: name, numPartitions, replicationFactor: 1 }], waitForLeaders: false });
  for (const deadline = Date.now() + patience; ; await pause()) {
    try {
      await admin.fetchTopicMetadata({ topics: [name] });
      return name;
    } catch (e) {
      if (Date.now() > deadline) throw e;
    }
  }
}

async function transactional(transactionalId, options = {}) {
  const producer = kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1, ...options });
  await producer.connect();
  return producer;
}

const send = (to, name, partition, ...values) =>
  to.send({ topic: name, messages: values.map((value) => ({ partition, value })) });

// read gives all values by partition, up to a last record that it writes itself.
async function read(name, partitions, readUncommitted) {
  const producer = kafka.producer();
  await producer.connect();
  for (let p = 0; p < partitions; p++) await send(producer, name, p, "end");
  await producer.disconnect();

  const consumer = kafka.consumer({ groupId: `reader-${name}-${readUncommitted}`, readUncommitted, maxWaitTimeInMs: 100 });
  const values = Array.from({ length: partitions }, () => []);
  const ended = new Set();
  await consumer.connect();
  await consumer.subscribe({ topic: name, fromBeginning: true });
  await within(`the end of ${name}`, new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, (e) => reject(e.payload.error));
    consumer.run({
      eachMessage: async ({ partition, message }) => {
        const value = message.value.toString();
        if (value !== "end") values[partition].push(value);
        else if (ended.add(partition).size === partitions) resolve();
      },
    }).catch(reject);
  }), () => JSON.stringify(values));
  await consumer.disconnect();
  return values;
}

function within(what, promise, state) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${patience} ms: ${state()}`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function refused(what, action, ...types) {
  try {
    await action();
  } catch (e) {
    if (!types.includes(e.type)) throw new Error(`${what}: want one of ${types}`, { cause: e });
    return;
  }
  throw new Error(`${what}: went through, want one of ${types}`);
}

async function offset(groupId, name) {
  const [{ partitions }] = await admin.fetchOffsets({ groupId, topics: [name] });
  return partitions[0].offset;
}

// Kafka's answer to the end of a transaction comes before its markers, so a group's offset may follow a moment later.
async function eventuallyOffset(groupId, name, want) {
  for (const deadline = Date.now() + patience; ; await pause()) {
    const got = await offset(groupId, name);
    if (got === want) return;
    if (Date.now() > deadline) assert.strictEqual(got, want);
  }
}

const scenarios = {
  "commits and aborts over topics and partitions": async () => {
    const a = await topic("kafkajs-a", 3);
    const b = await topic("kafkajs-b");
    const producer = await transactional("kafkajs-commit");
    for (let i = 0; i < 6; i++) {
      const transaction = await producer.transaction();
      for (let p = 0; p < 3; p++) await send(transaction, a, p, `${i}`);
      await send(transaction, b, 0, `${i}`);
      await (i % 2 ? transaction.abort() : transaction.commit());
    }
    await producer.disconnect();
    assert.deepStrictEqual(await read(a, 3, false), Array(3).fill(["0", "2", "4"]));
    assert.deepStrictEqual(await read(b, 1, false), [["0", "2", "4"]]);
    assert.deepStrictEqual(await read(b, 1, true), [["0", "1", "2", "3", "4", "5"]]);
  },

  "a zombie is fenced": async () => {
    const name = await topic("kafkajs-fenced");
    const zombie = await transactional("kafkajs-fenced");
    const late = await zombie.transaction();
    await send(late, name, 0, "of the zombie");
    const next = await transactional("kafkajs-fenced");
    const transaction = await next.transaction(); // takes the id over
    await refused("the zombie's commit", () => late.commit(), "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH");
    await send(transaction, name, 0, "of the next");
    await transaction.commit();
    await Promise.all([zombie.disconnect(), next.disconnect()]);
    assert.deepStrictEqual(await read(name, 1, false), [["of the next"]]);
  },

  "offsets are committed with the transaction": async () => {
    const name = await topic("kafkajs-offsets");
    const producer = await transactional("kafkajs-offsets");
    const add = (transaction, at) =>
      transaction.sendOffsets({ consumerGroupId: "kafkajs-group", topics: [{ topic: name, partitions: [{ partition: 0, offset: at }] }] });
    const first = await producer.transaction();
    await send(first, name, 0, "with offsets");
    await add(first, "1");
    assert.strictEqual(await offset("kafkajs-group", name), "-1");
    await first.commit();
    await eventuallyOffset("kafkajs-group", name, "1");
    const second = await producer.transaction();
    await send(second, name, 0, "aborted"); // which waits for the end of the first, as sendOffsets does not
    await add(second, "2");
    await second.abort();
    const third = await producer.transaction();
    await send(third, name, 0, "with others");
    await add(third, "3");
    await third.commit();
    await eventuallyOffset("kafkajs-group", name, "3");
    await producer.disconnect();
    assert.deepStrictEqual(await read(name, 1, false), [["with offsets", "with others"]]);
  },

  "records are consumed, transformed and produced": async () => {
    const source = await topic("kafkajs-source");
    const out = await topic("kafkajs-out");
    const producer = await transactional("kafkajs-move");
    const feed = await producer.transaction();
    await send(feed, source, 0, ...Array.from({ length: 20 }, (_, i) => `${i}`));
    await feed.commit();
    const consumer = kafka.consumer({ groupId: "kafkajs-mover", maxBytesPerPartition: 200, maxWaitTimeInMs: 100 });
    await consumer.connect();
    await consumer.subscribe({ topic: source, fromBeginning: true });
    let moved = 0;
    await within("20 records moved", new Promise((resolve, reject) => {
      consumer.on(consumer.events.CRASH, (e) => reject(e.payload.error));
      consumer.run({
        autoCommit: false,
        eachMessage: async ({ partition, message }) => {
          const transaction = await producer.transaction();
          await send(transaction, out, 0, `moved ${message.value}`);
          const next = String(Number(message.offset) + 1);
          await transaction.sendOffsets({ consumerGroupId: "kafkajs-mover", topics: [{ topic: source, partitions: [{ partition, offset: next }] }] });
          await transaction.commit();
          if (++moved === 20) resolve();
        },
      }).catch(reject);
    }), () => moved);
    await Promise.all([consumer.disconnect(), producer.disconnect()]);
    assert.deepStrictEqual(await read(out, 1, false), [Array.from({ length: 20 }, (_, i) => `moved ${i}`)]);
    await eventuallyOffset("kafkajs-mover", source, "20");
  },
};

async function main() {
  await admin.connect();
  await Promise.all(Object.entries(scenarios).map(async ([scenario, run]) => {
    const error = await run().then(() => null, (e) => [e.stack, e.cause && e.cause.stack].join("\n"));
    console.log(JSON.stringify({ scenario, error }));
  }));
}

main().then(
  () => process.exit(0),
  (e) => {
    console.error(e);
    process.exit(1);
  },
);
