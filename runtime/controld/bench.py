"""Tier 1's own figures, as JSON: `python -m runtime.controld.bench`.

Cycle time and wake-up beside cyclictest, instructions of one cycle under callgrind, and how long
Python takes to read the state beside iceoryx2's binding. A peer that is missing is named with the
way to get it; none of these figures is asserted anywhere.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from runtime.controld.distribution import Distribution, run_cyclictest
from runtime.controld.interference import HERE, SAMPLE, own_folder, run_phase
from runtime.controld.surroundings import read_control
from runtime.shm import DTYPES, Shm

if TYPE_CHECKING:
    from collections.abc import Callable

MEASURED_FUNCTION: Final = "*measured_cycle*"


def spread_of(samples_ns: list[int]) -> dict[str, float]:
    values = np.array(samples_ns) / 1000
    p50, p99, p999 = np.percentile(values, [50, 99, 99.9])
    figures = {"p50_us": p50, "p99_us": p99, "p999_us": p999, "max_us": values.max()}
    return {name: round(float(value), 3) for name, value in figures.items()}


def time_reads(write: Callable[[], object], read: Callable[[], object], count: int) -> list[int]:
    """Each read follows a fresh write, which is not timed."""
    samples = []
    for _ in range(count):
        write()
        began_ns = time.perf_counter_ns()
        read()
        samples.append(time.perf_counter_ns() - began_ns)
    return samples


def read_state(count: int) -> dict[str, float]:
    """A whole copy of the newest cycle as a NumPy record."""
    with own_folder() as folder:
        shm = Shm(folder)
        writer, reader = shm.writer("state"), shm.reader("state")
        record = writer.new()
        return spread_of(time_reads(lambda: writer.write(record), reader.latest, count))


def read_iceoryx2(count: int) -> dict[str, float] | str:
    """The same bytes through iceoryx2's publish and subscribe: received, and copied out."""
    try:
        iox: Any = importlib.import_module("iceoryx2")
    except ImportError:
        return "iceoryx2 is not installed: uv run --with iceoryx2 python -m runtime.controld.bench"

    class Payload(ctypes.Structure):
        _fields_ = [("words", ctypes.c_uint64 * (DTYPES["state"].itemsize // 8))]

        @staticmethod
        def type_name() -> str:
            return "State"

    node = iox.NodeBuilder.new().create(iox.ServiceType.Ipc)
    name = iox.ServiceName.new(f"bedplate-bench-{os.getpid()}")
    builder = node.service_builder(name).publish_subscribe(Payload)
    service = builder.subscriber_max_buffer_size(1).open_or_create()
    publisher = service.publisher_builder().create()
    subscriber = service.subscriber_builder().create()
    payload = Payload()

    def write() -> None:
        publisher.loan_uninit().write_payload(payload).send()

    def read() -> Any:
        return Payload.from_buffer_copy(subscriber.receive().payload().contents)

    return spread_of(time_reads(write, read, count))


def count_instructions(cycles: int) -> dict[str, Any] | str:
    """Instructions of one cycle of a moving arm: the same on every run, whatever the host does."""
    for program, package in (("valgrind", "valgrind"), ("cargo", "rustup, or rustc-web")):
        if shutil.which(program) is None:
            return f"{program} is not installed ({package})"
    example = build_example()
    if example is None:
        return "the example 'cycles' did not build: see cargo's message"
    with own_folder() as folder:
        command = ["valgrind", "--tool=callgrind", "--collect-atstart=no"]
        command += [f"--toggle-collect={MEASURED_FUNCTION}"]
        command += [f"--callgrind-out-file={folder / 'callgrind'}", str(example), str(cycles)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", result.stderr)
    if result.returncode != 0 or found is None:
        return f"callgrind gave no count: {result.stderr.strip()[-200:]}"
    state = json.loads(result.stdout)["state"]
    return {"per_cycle": int(found[1]) // cycles, "cycles": cycles, "state": state}


def build_example() -> Path | None:
    command = ["cargo", "build", "--quiet", "--locked", "--release", "-p", "controld"]
    result = subprocess.run(
        [*command, "--example", "cycles", "--message-format=json"],
        cwd=HERE,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        return None
    for line in result.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "cycles":
            return Path(message["executable"])
    return None


def measure_cycle(seconds: float) -> dict[str, Any]:
    """The real process on a moving arm, and cyclictest right after it."""
    section: Any = read_control(SAMPLE)
    cycle = section["cycle"]
    phase = run_phase(SAMPLE, seconds, abused=False)
    peer = run_cyclictest(seconds, cycle["cpu"] or 0, max(1, cycle["priority"]))
    return {
        **phase.to_dict(),
        "cyclictest": peer.to_dict() if isinstance(peer, Distribution) else peer,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Tier 1's own figures, as JSON")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the timed run")
    parser.add_argument("--reads", type=int, default=20_000)
    parser.add_argument("--cycles", type=int, default=500, help="counted under callgrind")
    parser.add_argument("--output", type=Path, help="also write the JSON to this file")
    arguments = parser.parse_args()
    result = {
        "cycle": measure_cycle(arguments.seconds),
        "instructions": count_instructions(arguments.cycles),
        "state_read": {
            "shm": read_state(arguments.reads),
            "iceoryx2": read_iceoryx2(arguments.reads),
        },
    }
    text = json.dumps(result, indent=2) + "\n"
    if arguments.output is not None:
        arguments.output.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
