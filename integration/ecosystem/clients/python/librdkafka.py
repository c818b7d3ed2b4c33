"""Transactions of librdkafka, which speaks the older protocol: librdkafka.py BOOTSTRAP."""
import sys
import time
from functools import partial

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from scenarios import PATIENCE, eventually, run, same, shows

BOOTSTRAP = sys.argv[1]
ADMIN = AdminClient({"bootstrap.servers": BOOTSTRAP})


def topic(name, partitions=1):
    for created in ADMIN.create_topics([NewTopic(name, partitions, 1)]).values():
        created.result(PATIENCE)
    return name


def transactional(name, **more):
    # Without error_cb a fatal error is raised in the middle of flush, which the binding does not get over when it then calls on_delivery.
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": name, "linger.ms": 0, "error_cb": lambda _: None,
                         **{key.replace("_", "."): value for key, value in more.items()}})
    producer.init_transactions(PATIENCE)
    return producer


def send(producer, name, partition, *values):
    failures = []
    for value in values:
        producer.produce(name, value, partition=partition, on_delivery=lambda err, _: failures.append(err) if err else None)
    left = producer.flush(PATIENCE)
    if failures or left:
        raise KafkaException(failures[0] if failures else KafkaError(KafkaError._TIMED_OUT))


def read(isolation, name):
    """All values by partition, up to the end that the isolation level shows."""
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "reader", "isolation.level": isolation,
                         "enable.auto.commit": False, "enable.partition.eof": True, "fetch.wait.max.ms": 100})
    try:
        partitions = list(consumer.list_topics(name, PATIENCE).topics[name].partitions)
        consumer.assign([TopicPartition(name, p, OFFSET_BEGINNING) for p in partitions])
        values, open_ends, deadline = {p: [] for p in partitions}, set(partitions), time.monotonic() + PATIENCE
        while open_ends:
            if time.monotonic() > deadline:
                raise AssertionError(f"read {isolation} of {name} comes to no end: {values}")
            m = consumer.poll(0.5)
            if m is None:
                continue
            if m.error() is None:
                values[m.partition()].append(m.value().decode())
            elif m.error().code() == KafkaError._PARTITION_EOF:
                open_ends.discard(m.partition())
            else:
                raise KafkaException(m.error())
        return values
    finally:
        consumer.close()


committed, uncommitted = partial(read, "read_committed"), partial(read, "read_uncommitted")


def refused(what, action, *codes):
    try:
        action()
    except KafkaException as e:
        if e.args[0].code() not in codes:
            raise AssertionError(f"{what}: want one of {codes}") from e
        return e.args[0]
    raise AssertionError(f"{what}: went through")


def commit_and_abort():
    a, b = topic("librdkafka-a", 10), topic("librdkafka-b")
    p = transactional("librdkafka-commit")
    want = {partition: [] for partition in range(10)}
    for i in range(6):
        p.begin_transaction()
        for partition in range(10):
            send(p, a, partition, f"{i}")
        send(p, b, 0, f"{i}")
        if i == 0:
            same("committed before the end", want, committed(a))
        if i % 2:
            p.abort_transaction(PATIENCE)
        else:
            p.commit_transaction(PATIENCE)
            for values in want.values():
                values.append(f"{i}")
    shows("committed", want, lambda: committed(a))
    shows("committed of the other topic", {0: ["0", "2", "4"]}, lambda: committed(b))
    shows("uncommitted", {0: ["0", "1", "2", "3", "4", "5"]}, lambda: uncommitted(b))


def fenced_at_commit():
    name = topic("librdkafka-fenced")
    zombie = transactional("librdkafka-fenced")
    zombie.begin_transaction()
    send(zombie, name, 0, "of the zombie")
    after = transactional("librdkafka-fenced")
    e = refused("the zombie's commit", lambda: zombie.commit_transaction(PATIENCE), KafkaError._FENCED, KafkaError.PRODUCER_FENCED)
    same("it is fatal", True, e.fatal())
    after.begin_transaction()
    send(after, name, 0, "of the next")
    after.commit_transaction(PATIENCE)
    shows("committed", {0: ["of the next"]}, lambda: committed(name))


def fenced_at_produce():
    name = topic("librdkafka-fenced-produce")
    zombie = transactional("librdkafka-fenced-produce")
    zombie.begin_transaction()
    send(zombie, name, 0, "of the zombie")
    after = transactional("librdkafka-fenced-produce")
    after.begin_transaction()
    send(after, name, 0, "of the next")
    refused("the zombie's record", lambda: send(zombie, name, 0, "late"),
            KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError._PURGE_QUEUE)
    after.commit_transaction(PATIENCE)
    shows("committed", {0: ["of the next"]}, lambda: committed(name))
    shows("uncommitted", {0: ["of the zombie", "of the next"]}, lambda: uncommitted(name))


def group_offset(group, name):
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group})
    try:
        return consumer.committed([TopicPartition(name, 0)], PATIENCE)[0].offset
    finally:
        consumer.close()


def group_member(group, name):
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group, "auto.offset.reset": "earliest",
                         "enable.auto.commit": False, "isolation.level": "read_committed"})
    consumer.subscribe([name])
    return consumer


def take(consumer, count):
    values, deadline = [], time.monotonic() + PATIENCE
    while len(values) < count:
        if time.monotonic() > deadline:
            raise AssertionError(f"{count} records to read, got {values}")
        m = consumer.poll(0.5)
        if m is not None:
            if m.error() is not None:
                raise KafkaException(m.error())
            values.append(m.value().decode())
    return values


def offsets():
    source, out = topic("librdkafka-source"), topic("librdkafka-out")
    feeder = transactional("librdkafka-feeder")
    feeder.begin_transaction()
    send(feeder, source, 0, "0", "1", "2", "3")
    feeder.commit_transaction(PATIENCE)

    def move(consumer, producer, count, finish):
        producer.begin_transaction()
        send(producer, out, 0, *take(consumer, count))
        producer.send_offsets_to_transaction(consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), PATIENCE)
        finish(producer, PATIENCE)

    consumer, producer = group_member("librdkafka-group", source), transactional("librdkafka-move")
    move(consumer, producer, 2, Producer.commit_transaction)
    eventually("offset after the commit", 2, lambda: group_offset("librdkafka-group", source))
    move(consumer, producer, 1, Producer.abort_transaction)
    eventually("offset after the abort", 2, lambda: group_offset("librdkafka-group", source))
    consumer.close()
    consumer = group_member("librdkafka-group", source)
    move(consumer, producer, 2, Producer.commit_transaction)
    eventually("offset at last", 4, lambda: group_offset("librdkafka-group", source))
    consumer.close()
    shows("committed", {0: ["0", "1", "2", "3"]}, lambda: committed(out))


def stale_member():
    source = topic("librdkafka-stale")
    producer = transactional("librdkafka-stale")
    producer.begin_transaction()
    send(producer, source, 0, "0")
    producer.commit_transaction(PATIENCE)
    consumer = group_member("librdkafka-stale", source)
    take(consumer, 1)
    stale = consumer.consumer_group_metadata()
    consumer.close()
    producer.begin_transaction()
    e = refused("offsets of a member that left",
                lambda: producer.send_offsets_to_transaction([TopicPartition(source, 0, 1)], stale, PATIENCE),
                KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION)
    same("the transaction must be aborted", True, e.txn_requires_abort())
    producer.abort_transaction(PATIENCE)
    same("no offset", -1001, group_offset("librdkafka-stale", source))


def times_out():
    name = topic("librdkafka-times-out")
    p = transactional("librdkafka-times-out", transaction_timeout_ms=3000, message_timeout_ms=3000)
    p.begin_transaction()
    send(p, name, 0, "abandoned")
    other = transactional("librdkafka-in-time")
    other.begin_transaction()
    send(other, name, 0, "behind")
    other.commit_transaction(PATIENCE)
    shows("what readers see", {0: ["behind"]}, lambda: committed(name))
    e = refused("the commit after the timeout", lambda: p.commit_transaction(PATIENCE), KafkaError._FENCED, KafkaError.PRODUCER_FENCED)
    same("it is fatal", True, e.fatal())
    again = transactional("librdkafka-times-out")
    again.begin_transaction()
    send(again, name, 0, "next")
    again.commit_transaction(PATIENCE)
    shows("committed", {0: ["behind", "next"]}, lambda: committed(name))


run({
    "commits and aborts over ten partitions": commit_and_abort,
    "a zombie is fenced at its commit": fenced_at_commit,
    "a zombie is fenced when it produces": fenced_at_produce,
    "offsets are committed with the transaction": offsets,
    "offsets of a member that left are refused": stale_member,
    "an abandoned transaction is aborted": times_out,
})
