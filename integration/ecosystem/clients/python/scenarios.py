"""Runs named scenarios side by side and prints a line of JSON for each: its name, and what failed if it did."""
import json
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

PATIENCE = 60  # seconds


def attempt(scenario):
    try:
        scenario()
        return None
    except BaseException:  # a program that ends itself is a failure too
        return traceback.format_exc()


def run(scenarios):
    with ThreadPoolExecutor(max_workers=6) as pool:
        for name, result in [(name, pool.submit(attempt, scenario)) for name, scenario in scenarios.items()]:
            print(json.dumps({"scenario": name, "error": result.result()}), flush=True)


def same(what, want, got):
    if want != got:
        raise AssertionError(f"{what}: want {want}, got {got}")


def eventually(what, want, get):
    """Kafka's answer to the end of a transaction comes before its markers, so readers and groups see it a moment later."""
    deadline = time.monotonic() + PATIENCE
    while (got := get()) != want:
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: want {want}, after {PATIENCE} s still {got}")
        time.sleep(0.1)


def shows(what, want, get):
    """What readers see of a topic, by partition; until they see all they see the beginning, never anything else."""
    def checked():
        got = get()
        for partition, values in got.items():
            same(f"{what}, partition {partition} so far", want[partition][: len(values)], values)
        return got

    eventually(what, want, checked)
