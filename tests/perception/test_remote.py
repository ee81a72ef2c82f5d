"""Level 3 on another machine: a server on the loopback, and what goes wrong on the way."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.perception.inference import CardError
from runtime.perception.inference.port import Tensors
from runtime.perception.inference.remote import (
    FrameError,
    FrameReader,
    RemoteEngine,
    RemoteSession,
    encode_frame,
)
from runtime.perception.inference.serve import EdgeServer
from tests.perception.builders import SHAPE, doubling_network, write_network

X = {"x": np.full(SHAPE, 5.0, np.float32)}


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[EdgeServer]:
    server = EdgeServer([write_network(tmp_path)], "127.0.0.1", 0)
    ending = threading.Event()

    def serve() -> None:
        while not ending.is_set():
            server.step(0.02)

    thread = threading.Thread(target=serve)
    thread.start()
    yield server
    ending.set()
    thread.join()
    server.close()


def collect(session: RemoteSession) -> Tensors:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        out = session.collect()
        if out is not None:
            return out
        time.sleep(0.002)
    raise AssertionError("the edge never answered")


def test_network_at_the_edge_answers(edge: EdgeServer, tmp_path: Path) -> None:
    engine = RemoteEngine(f"127.0.0.1:{edge.port}")
    session = engine.load("double", str(tmp_path / "double.yaml"))
    for _ in range(2):
        session.start(X)
        assert np.array_equal(collect(session)["y"], np.full(SHAPE, 10.0, np.float32))
    engine.close()


def test_edge_with_another_version_of_the_network_is_refused(
    edge: EdgeServer, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    engine = RemoteEngine(f"127.0.0.1:{edge.port}")
    path = write_network(other, data=doubling_network(3.0))
    session = engine.load("double", str(path))
    session.start(X)
    with pytest.raises(CardError, match="this edge holds version"):
        collect(session)
    engine.close()


def test_edge_that_is_not_there_fails_the_run_not_the_robot(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    engine = RemoteEngine(f"127.0.0.1:{port}")
    session = engine.load("double", str(write_network(tmp_path)))
    with pytest.raises(CardError, match="levels on the robot go on"):
        session.start(X)


def test_edge_address_without_a_port_is_refused() -> None:
    with pytest.raises(CardError, match="must be host:port"):
        RemoteEngine("somewhere")


@given(st.lists(st.integers(1, 60), max_size=20))
def test_frames_survive_any_cutting_of_the_stream(cuts: list[int]) -> None:
    stream = encode_frame({"run": 1}, X) + encode_frame({"run": 2}, {})
    reader = FrameReader()
    frames = []
    at = 0
    for cut in [*cuts, len(stream)]:
        frames += reader.feed(stream[at : at + cut])
        at += cut
    assert [header["run"] for header, _ in frames] == [1, 2]
    assert np.array_equal(frames[0][1]["x"], X["x"])


@given(st.binary(min_size=8, max_size=200))
def test_bytes_that_are_no_frame_never_pass_as_one(noise: bytes) -> None:
    reader = FrameReader()
    try:
        frames = reader.feed(noise)
    except FrameError:
        return
    assert all(isinstance(header, dict) for header, _ in frames)


def test_frame_longer_than_any_network_needs_is_refused() -> None:
    with pytest.raises(FrameError, match="more than any network needs"):
        FrameReader().feed(b"\x01\x00\x00\x00\xff\xff\xff\xff")
