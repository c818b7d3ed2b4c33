"""The confluent-kafka client (librdkafka) behind the interface all clients here share:

client.py produce BOOTSTRAP TOPIC CODEC        reads records, one JSON object a line, until the end of input
client.py consume BOOTSTRAP TOPIC GROUP COUNT  prints COUNT records so, commits and leaves the group
"""
import json
import sys
from base64 import b64decode, b64encode

from confluent_kafka import TIMESTAMP_CREATE_TIME, Consumer, Producer


def decode(text):
    return None if text is None else b64decode(text)


def encode(data):
    return None if data is None else b64encode(data).decode()


def produce(bootstrap, topic, codec):
    failures = []

    def delivered(err, _msg):
        if err is not None:
            failures.append(err)

    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "enable.idempotence": True})
    for line in sys.stdin:
        r = json.loads(line)
        timestamp = {"timestamp": r["t"]} if "t" in r else {}
        headers = [(key, decode(value)) for key, value in r["h"]]
        while True:
            try:
                producer.produce(topic, key=decode(r["k"]), value=decode(r["v"]), headers=headers,
                                 on_delivery=delivered, **timestamp)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(60)
    if failures or left:
        sys.exit(f"{len(failures)} records failed, {left} undelivered: {failures[:3]}")


def consume(bootstrap, topic, group, count):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest",
                         "enable.auto.commit": False})
    consumer.subscribe([topic])
    seen = 0
    while seen < count:
        lines = []
        for m in consumer.consume(num_messages=5000, timeout=0.2):
            if m.error():
                sys.exit(f"consume: {m.error()}")
            kind, timestamp = m.timestamp()
            if kind != TIMESTAMP_CREATE_TIME:
                sys.exit(f"timestamp type {kind} at {m.partition()}/{m.offset()}")
            lines.append(json.dumps({
                "p": m.partition(), "o": m.offset(), "t": timestamp, "k": encode(m.key()), "v": encode(m.value()),
                "h": [(key, encode(value)) for key, value in m.headers() or []],
            }))
        seen += len(lines)
        if lines:
            print("\n".join(lines))
    sys.stdout.flush()
    consumer.commit(asynchronous=False)
    consumer.close()


if __name__ == "__main__":
    if sys.argv[1] == "produce":
        produce(*sys.argv[2:5])
    else:
        consume(*sys.argv[2:5], int(sys.argv[5]))
