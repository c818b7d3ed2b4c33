"""A member of a consumer group that tells what happens to it, as clients/java/Member.java does:

member.py BOOTSTRAP GROUP SUBSCRIPTION [KEY=VALUE...]

The subscription is a topic, or a regular expression after a tilde.
"""
import sys
import threading

from confluent_kafka import Consumer, KafkaException


def tell(what, partitions):
    print(what, " ".join(f"{p.topic}-{p.partition}" for p in partitions), flush=True)


def main(bootstrap, group, subscription, *settings):
    config = {"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest",
              "enable.auto.commit": False, "topic.metadata.refresh.interval.ms": 1000}
    config.update(s.split("=", 1) for s in settings)
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    consumer = Consumer(config)
    topic = "^" + subscription[1:] if subscription.startswith("~") else subscription
    consumer.subscribe([topic], on_assign=lambda _, p: tell("+", p), on_revoke=lambda _, p: tell("-", p),
                       on_lost=lambda _, p: tell("!", p))
    while not over.is_set():
        messages = consumer.consume(num_messages=500, timeout=0.1)
        for m in messages:
            if m.error() and m.error().fatal():
                sys.exit(f"consume: {m.error()}")
        messages = [m for m in messages if not m.error()]
        if not messages:
            continue
        try:
            consumer.commit(asynchronous=False)
        except KafkaException:
            continue  # they are read again
        for m in messages:
            print(f"r {m.topic()}-{m.partition()} {m.offset()}", flush=True)
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
