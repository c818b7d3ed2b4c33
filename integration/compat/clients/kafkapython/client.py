"""The kafka-python client (pure Python) behind the interface all clients here share:

client.py produce BOOTSTRAP TOPIC CODEC        reads records, one JSON object a line, until the end of input
client.py consume BOOTSTRAP TOPIC GROUP COUNT  prints COUNT records so, commits and leaves the group
"""
import json
import sys
from base64 import b64decode, b64encode

from kafka import KafkaConsumer, KafkaProducer


def decode(text):
    return None if text is None else b64decode(text)


def encode(data):
    return None if data is None else b64encode(data).decode()


def produce(bootstrap, topic, codec):
    failures = []
    producer = KafkaProducer(bootstrap_servers=bootstrap, compression_type=None if codec == "none" else codec,
                             acks="all", linger_ms=20)
    for line in sys.stdin:
        r = json.loads(line)
        headers = [(key, decode(value)) for key, value in r["h"]]
        future = producer.send(topic, key=decode(r["k"]), value=decode(r["v"]), headers=headers,
                               timestamp_ms=r.get("t"))
        future.add_errback(failures.append)
    producer.flush(120)
    producer.close()
    if failures:
        sys.exit(f"{len(failures)} records failed: {failures[:3]}")


def consume(bootstrap, topic, group, count):
    consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest",
                             enable_auto_commit=False)
    seen = 0
    while seen < count:
        lines = []
        for records in consumer.poll(timeout_ms=1000, max_records=5000).values():
            for m in records:
                lines.append(json.dumps({
                    "p": m.partition, "o": m.offset, "t": m.timestamp, "k": encode(m.key), "v": encode(m.value),
                    "h": [(key, encode(value)) for key, value in m.headers],
                }))
        seen += len(lines)
        if lines:
            print("\n".join(lines))
    sys.stdout.flush()
    consumer.commit()
    consumer.close()


if __name__ == "__main__":
    if sys.argv[1] == "produce":
        produce(*sys.argv[2:5])
    else:
        consume(*sys.argv[2:5], int(sys.argv[5]))
