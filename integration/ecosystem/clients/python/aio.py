"""Transactions of aiokafka: aio.py BOOTSTRAP."""
import asyncio
import sys
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import InvalidProducerEpoch, ProducerFenced

from scenarios import PATIENCE, eventually, run, same, shows

BOOTSTRAP = sys.argv[1]


async def topic(name, partitions=1):
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        await admin.close()
    return name


async def transactional(name):
    producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id=name)
    await producer.start()
    return producer


async def read_committed(name, count):
    """All values that are committed, by partition, up to the end that is stable."""
    consumer = AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, isolation_level="read_committed", auto_offset_reset="earliest", fetch_max_wait_ms=100)
    await consumer.start()
    try:
        partitions = [TopicPartition(name, p) for p in range(count)]
        consumer.assign(partitions)
        ends, values, deadline = await consumer.end_offsets(partitions), {p.partition: [] for p in partitions}, time.monotonic() + PATIENCE
        while any([await consumer.position(p) < ends[p] for p in partitions]):
            if time.monotonic() > deadline:
                raise AssertionError(f"read {name} stands still before {ends}: {values}")
            for p, records in (await consumer.getmany(timeout_ms=200)).items():
                values[p.partition] += [r.value.decode() for r in records]
        return values
    finally:
        await consumer.stop()


def committed(name, partitions=1):
    return asyncio.run(read_committed(name, partitions))


def commit_and_abort():
    async def produce():
        name, producer = await topic("aiokafka-commit", 3), await transactional("aiokafka-commit")
        for i in range(6):
            await producer.begin_transaction()
            for partition in range(3):
                await producer.send_and_wait(name, f"{i}".encode(), partition=partition)
            await (producer.abort_transaction() if i % 2 else producer.commit_transaction())
        await producer.stop()

    asyncio.run(produce())
    shows("committed", {p: ["0", "2", "4"] for p in range(3)}, lambda: committed("aiokafka-commit", 3))


def fenced():
    async def produce():
        name, zombie = await topic("aiokafka-fenced"), await transactional("aiokafka-fenced")
        await zombie.begin_transaction()
        await zombie.send_and_wait(name, b"of the zombie", partition=0)
        after = await transactional("aiokafka-fenced")
        try:
            await zombie.commit_transaction()
        except (ProducerFenced, InvalidProducerEpoch):
            pass
        else:
            raise AssertionError("the zombie's commit went through")
        async with after.transaction():
            await after.send_and_wait(name, b"of the next", partition=0)
        await after.stop()

    asyncio.run(produce())
    shows("committed", {0: ["of the next"]}, lambda: committed("aiokafka-fenced"))


async def fetch_offset(partition):
    consumer = AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, group_id="aiokafka-group", enable_auto_commit=False)
    await consumer.start()
    try:
        return await consumer.committed(partition)
    finally:
        await consumer.stop()


def offsets():
    partition = TopicPartition("aiokafka-offsets", 0)

    async def produce(offset, commit):
        producer = await transactional("aiokafka-offsets")
        await producer.begin_transaction()
        await producer.send_and_wait(partition.topic, f"{offset}".encode(), partition=0)
        await producer.send_offsets_to_transaction({partition: offset}, "aiokafka-group")
        await (producer.commit_transaction() if commit else producer.abort_transaction())
        await producer.stop()

    asyncio.run(topic(partition.topic))
    same("at first", None, asyncio.run(fetch_offset(partition)))
    for offset, commit, want in [(1, True, 1), (2, False, 1), (3, True, 3)]:
        asyncio.run(produce(offset, commit))
        eventually(f"offset after {offset}", want, lambda: asyncio.run(fetch_offset(partition)))
    shows("committed", {0: ["1", "3"]}, lambda: committed(partition.topic))


run({
    "commits and aborts over partitions": commit_and_abort,
    "a zombie is fenced": fenced,
    "offsets are committed with the transaction": offsets,
})
