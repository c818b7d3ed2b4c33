"""Transactions of kafka-python: kafkapython.py BOOTSTRAP."""
import sys
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import InvalidProducerEpochError, KafkaError, ProducerFencedError
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from scenarios import PATIENCE, eventually, run, same, shows

BOOTSTRAP = sys.argv[1]
ADMIN = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)


def topic(name, partitions=1):
    ADMIN.create_topics([NewTopic(name, partitions, 1)])
    return name


def transactional(name):
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id=name)
    producer.init_transactions()
    return producer


def send(producer, name, partition, *values):
    for value in values:
        producer.send(name, value.encode(), partition=partition).get(PATIENCE)


def committed(name):
    """All values that are committed, by partition, up to the end that is stable."""
    consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP, isolation_level="read_committed", auto_offset_reset="earliest", fetch_max_wait_ms=100)
    try:
        partitions = [TopicPartition(name, p) for p in consumer.partitions_for_topic(name)]
        consumer.assign(partitions)
        ends, values, deadline = consumer.end_offsets(partitions), {p.partition: [] for p in partitions}, time.monotonic() + PATIENCE
        while any(consumer.position(p) < ends[p] for p in partitions):
            if time.monotonic() > deadline:
                raise AssertionError(f"read {name} stands still before {ends}: {values}")
            for p, records in consumer.poll(200).items():
                values[p.partition] += [r.value.decode() for r in records]
        return values
    finally:
        consumer.close()


def commit_and_abort():
    name = topic("kafkapython-commit", 3)
    producer = transactional("kafkapython-commit")
    for i in range(6):
        producer.begin_transaction()
        for partition in range(3):
            send(producer, name, partition, f"{i}")
        if i % 2:
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    producer.close()
    shows("committed", {p: ["0", "2", "4"] for p in range(3)}, lambda: committed(name))


def fenced():
    name = topic("kafkapython-fenced")
    zombie = transactional("kafkapython-fenced")
    zombie.begin_transaction()
    send(zombie, name, 0, "of the zombie")
    after = transactional("kafkapython-fenced")
    try:
        zombie.commit_transaction()
    except (ProducerFencedError, InvalidProducerEpochError):
        pass
    except KafkaError as e:
        if not isinstance(e.__cause__ or e.__context__, (ProducerFencedError, InvalidProducerEpochError)):
            raise
    else:
        raise AssertionError("the zombie's commit went through")
    after.begin_transaction()
    send(after, name, 0, "of the next")
    after.commit_transaction()
    after.close()
    zombie.close(timeout=0)
    shows("committed", {0: ["of the next"]}, lambda: committed(name))


def offsets():
    partition = TopicPartition(topic("kafkapython-offsets"), 0)

    def group_offset():
        found = ADMIN.list_group_offsets("kafkapython-group")["kafkapython-group"]
        return found[partition].offset if partition in found else None

    producer = transactional("kafkapython-offsets")
    for offset, finish in [(1, producer.commit_transaction), (2, producer.abort_transaction), (3, producer.commit_transaction)]:
        producer.begin_transaction()
        send(producer, partition.topic, 0, f"{offset}")
        producer.send_offsets_to_transaction({partition: OffsetAndMetadata(offset, "", -1)}, ConsumerGroupMetadata("kafkapython-group", -1, "", None))
        if offset == 1:
            same("before the end", None, group_offset())
        finish()
        eventually(f"offset after {offset}", 3 if offset == 3 else 1, group_offset)
    producer.close()
    shows("committed", {0: ["1", "3"]}, lambda: committed(partition.topic))


run({
    "commits and aborts over partitions": commit_and_abort,
    "a zombie is fenced": fenced,
    "offsets are committed with the transaction": offsets,
})
