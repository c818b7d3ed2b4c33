// The kafkajs client behind the interface all clients here share:
//
//   client.js produce BOOTSTRAP TOPIC CODEC        reads records, one JSON object a line, until the end of input
//   client.js consume BOOTSTRAP TOPIC GROUP COUNT  prints COUNT records so, commits and leaves the group
//
// NODE_PATH names the directory of the modules.
"use strict";

const readline = require("node:readline");
const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require("kafkajs");

// kafkajs brings gzip; the other codecs are plugged in.
CompressionCodecs[CompressionTypes.Snappy] = require("kafkajs-snappy");
CompressionCodecs[CompressionTypes.LZ4] = () => {
  const lz4 = require("lz4js");
  const xxhash = require("lz4js/xxh32.js");
  const blockIndependence = 0x20;
  return {
    compress: async ({ buffer }) => {
      // lz4js does not declare its blocks independent, which Kafka demands; a frame of one block (of 4 MiB) is.
      if (buffer.length > 4 << 20) throw new Error("more than one lz4 block");
      const frame = Buffer.from(lz4.compress(buffer));
      frame[4] |= blockIndependence;
      frame[6] = (xxhash.hash(0, frame, 4, 2) >> 8) & 0xff;
      return frame;
    },
    decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
  };
};
CompressionCodecs[CompressionTypes.ZSTD] = () => {
  // Batches of other clients do not tell their content's size, so this takes the streaming interface.
  const zstd = new Promise((resolve) => require("zstd-codec").ZstdCodec.run((z) => resolve(new z.Streaming())));
  return {
    compress: async (encoder) => Buffer.from((await zstd).compress(encoder.buffer)),
    decompress: async (buffer) => Buffer.from((await zstd).decompress(buffer)),
  };
};

const codecs = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
};

const decode = (text) => (text === null ? null : Buffer.from(text, "base64"));
const encode = (buffer) => (buffer === null || buffer === undefined ? null : buffer.toString("base64"));

function client(bootstrap) {
  return new Kafka({ clientId: "compat-kafkajs", brokers: [bootstrap], logLevel: logLevel.ERROR });
}

async function produce(bootstrap, topic, codec) {
  const producer = client(bootstrap).producer({ idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  const send = (messages) => producer.send({ topic, compression: codecs[codec], messages });
  let messages = [];
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const r = JSON.parse(line);
    // Headers are an object: an array stands for a repeated key.
    const headers = {};
    for (const [key, value] of r.h) {
      if (key in headers) headers[key] = [].concat(headers[key], decode(value));
      else headers[key] = decode(value);
    }
    const timestamp = r.t === undefined ? undefined : String(r.t);
    messages.push({ key: decode(r.k), value: decode(r.v), headers, timestamp });
    if (messages.length === 2000) {
      await send(messages);
      messages = [];
    }
  }
  if (messages.length > 0) await send(messages);
  await producer.disconnect();
}

function line(partition, m) {
  const h = [];
  for (const [key, value] of Object.entries(m.headers || {})) {
    for (const v of Array.isArray(value) ? value : [value]) h.push([key, encode(v)]);
  }
  return JSON.stringify({
    p: partition, o: Number(m.offset), t: Number(m.timestamp), k: encode(m.key), v: encode(m.value), h,
  });
}

async function consume(bootstrap, topic, groupId, count) {
  const consumer = client(bootstrap).consumer({ groupId, maxWaitTimeInMs: 500 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  let seen = 0;
  const next = {}; // partition -> offset to commit
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, (e) => reject(e.payload.error));
    consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: true,
      eachBatch: async ({ batch }) => {
        const lines = batch.messages.map((m) => line(batch.partition, m));
        await new Promise((flushed) => process.stdout.write(lines.join("\n") + "\n", flushed));
        seen += lines.length;
        next[batch.partition] = String(Number(batch.lastOffset()) + 1);
        if (seen >= count) resolve();
      },
    }).catch(reject);
  });
  await consumer.commitOffsets(
    Object.entries(next).map(([partition, offset]) => ({ topic, partition: Number(partition), offset })));
  await consumer.disconnect();
}

async function main([command, bootstrap, topic, ...rest]) {
  if (command === "produce") await produce(bootstrap, topic, rest[0]);
  else await consume(bootstrap, topic, rest[0], Number(rest[1]));
}

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (err) => {
    console.error(err);
    process.exit(1);
  },
);
