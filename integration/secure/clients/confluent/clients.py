"""librdkafka's clients, for as long as there is input: each line is a request in JSON with an id, each line of output an answer
with the same id. Requests run beside each other. What is no error of a client's ends the program.
"""
import json
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

output = threading.Lock()


class Client:
    """What happened to one client: the first fatal thing that it said, and how long it was throttled."""

    def __init__(self, request):
        self.failure = None
        self.said = []
        self.throttled = 0.0
        self.config = dict(request["config"])
        self.config["error_cb"] = self.failed
        self.config["throttle_cb"] = self.throttle
        token = self.config.pop("token", None)
        if token is not None:  # of any age: this client believes what we say of it
            self.config["oauth_cb"] = lambda _: (token, time.time() + 3600)

    def failed(self, error):
        # That all brokers are down follows from the others, and connections may end, also while they authenticate anew, too late;
        # but with TLS 1.3 this is how a refused certificate shows.
        ended = error.code() == KafkaError._TRANSPORT or error.code() == KafkaError._AUTHENTICATION and "Broker transport failure" in error.str()
        if error.code() == KafkaError._ALL_BROKERS_DOWN or ended and "alert" not in error.str():
            self.said.append(str(error))
        elif self.failure is None:
            self.failure = error

    def throttle(self, event):
        self.throttled += event.throttle_time

    def check(self):
        if self.failure is not None:
            raise KafkaException(self.failure)


def produce(request, answer):
    client = Client(request)
    end = time.monotonic() + request["millis"] / 1000
    steady = time.monotonic() + request.get("skip", 0) / 1000
    value = bytes(request.get("size", 64))
    done, after = [0], [0]

    def delivered(error, _):
        if error is not None:
            client.failure = client.failure or error
        else:
            done[0] += 1
            after[0] += steady <= time.monotonic() < end

    producer = Producer(client.config)
    rate, start = request.get("rate", 0), time.monotonic()
    try:
        sent = 0
        while sent < request["count"] and time.monotonic() < end:
            client.check()
            if rate and sent > (time.monotonic() - start) * rate:
                producer.poll(0.005)
                continue
            try:
                producer.produce(request["topic"], value=value, on_delivery=delivered)
                sent += 1
            except BufferError:
                producer.poll(0.05)
            producer.poll(0)
        while not request.get("metrics") and len(producer) and time.monotonic() < end:
            producer.poll(0.05)
            client.check()
        answer["count"], answer["steady"] = done[0], after[0]
        client.check()
        if not request.get("metrics") and done[0] < request["count"] and not rate:
            raise TimeoutError(f"{done[0]} records were acknowledged; {client.said[:5]}")
    finally:
        producer.purge()
        producer.flush(1)
        answer["metrics"] = {"throttle": client.throttled}


def consume(request, answer):
    client = Client(request)
    end = time.monotonic() + request["millis"] / 1000
    steady = time.monotonic() + request.get("skip", 0) / 1000
    consumer = Consumer(client.config)
    seen = after = 0
    try:
        consumer.subscribe([request["topic"]])
        while seen < request["count"] and time.monotonic() < end:
            for m in consumer.consume(num_messages=1000, timeout=0.2):
                if m.error():
                    raise KafkaException(m.error())
                seen += 1
                after += time.monotonic() >= steady
            client.check()
        answer["count"], answer["steady"] = seen, after
        if seen and request["config"].get("enable.auto.commit") == "false":
            consumer.commit(asynchronous=False)
        if seen < request["count"] and not request.get("metrics"):
            raise TimeoutError(f"{seen} records were read; {client.said[:5]}")
    finally:
        consumer.close()
        answer["metrics"] = {"throttle": client.throttled}


def serve(request):
    start = time.monotonic()
    answer = {"id": request["id"]}
    try:
        {"produce": produce, "consume": consume}[request["op"]](request, answer)
    except KafkaException as e:
        answer["error"], answer["message"] = e.args[0].name(), e.args[0].str()
    except TimeoutError as e:
        answer["error"], answer["message"] = "TimeoutError", str(e)
    except Exception as e:
        answer["error"], answer["message"] = type(e).__name__, str(e)
    answer["millis"] = int((time.monotonic() - start) * 1000)
    with output:
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    for line in sys.stdin:
        threading.Thread(target=serve, args=(json.loads(line),), daemon=True).start()
