"""The pieces of `make run`: folders, ports, one launcher a robot, nothing left behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conf.load import compose
from runtime.paths import Paths, memory_folder
from sim.launch import (
    LaunchError,
    Supervisor,
    free_port,
    is_running,
    kill_leftovers,
    make_folders,
    only_launcher,
    remove_memory,
    stop_stale,
)
from sim.run import RunOptions, chosen_processes, compose_profile

CONFIGURATION = """[unix_http_server]
file={run}/s.sock
[supervisord]
nodaemon=true
logfile={run}/supervisord.log
pidfile={run}/supervisord.pid
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[program:patient]
command={python} -c "import time; time.sleep(600)"
[program:stubborn]
command={python} -c "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
stopwaitsecs=1
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(run=tmp_path / "run", data=tmp_path / "data")
    made.run.mkdir()
    return made


@pytest.fixture
def supervisor(paths: Paths):
    configuration = paths.run / "supervisord.conf"
    configuration.write_text(CONFIGURATION.format(run=paths.run, python=sys.executable))
    made = Supervisor(configuration, paths.run / "s.sock", paths.run / "out")
    wait_until(lambda: {child.state for child in made.children()} == {"RUNNING"})
    yield made
    made.stop()


def wait_until(condition, timeout_s: float = 40.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_second_launcher_of_a_robot_is_refused_with_the_first_ones_id(paths):
    with (
        only_launcher(paths),
        pytest.raises(LaunchError, match=f"process {os.getpid()} already runs.*--facility"),
        only_launcher(paths),
    ):
        pass
    with only_launcher(paths):
        pass


def test_robots_of_one_name_in_two_places_do_not_share_memory(tmp_path):
    assert memory_folder("osaka-01", tmp_path / "a") != memory_folder("osaka-01", tmp_path / "b")


def test_folders_start_with_fresh_memory_and_leave_none(paths):
    memory = make_folders(paths, "bench-01")
    (memory / "state").write_bytes(b"of an earlier run")
    assert make_folders(paths, "bench-01") == memory
    assert paths.shm == memory.resolve()
    assert list(memory.iterdir()) == []
    remove_memory(paths)
    assert not memory.exists()


def test_a_port_that_is_taken_makes_way_for_the_next(tmp_path):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        assert free_port(port, set()) > port


def test_two_ports_are_never_the_same():
    taken: set[int] = set()
    ports = [free_port(20_000, taken) for _ in range(3)]
    assert len(set(ports)) == 3


def test_the_profile_names_the_ports_that_are_used(tmp_path):
    usual = compose().config.telemetry
    with socket.socket() as held:
        try:
            held.bind(("127.0.0.1", usual.page.port))
            held.listen()
        except OSError:
            pass  # somebody else holds it: just as well
        found = compose_profile(RunOptions(var=tmp_path)).telemetry
    assert found.page.port != usual.page.port
    assert len({found.page.port, found.broker.port, found.broker.relay_port}) == 3


@pytest.mark.parametrize("installed", ["/usr/bin/prometheus-alertmanager", None])
def test_alertmanager_is_started_where_it_is_installed_and_nobody_says_otherwise(
    tmp_path, monkeypatch, installed
):
    monkeypatch.setattr("sim.run.program", lambda: installed)
    config = compose_profile(RunOptions(var=tmp_path))
    names = {spec.name for spec in chosen_processes(config)}
    assert ("alertmanager" in names) is (installed is not None)
    elsewhere = RunOptions(var=tmp_path, overrides=("alerts.notify.alertmanager_port=19093",))
    assert compose_profile(elsewhere).alerts.notify.alertmanager is (installed is not None)
    refused = RunOptions(var=tmp_path, overrides=("alerts.notify.alertmanager=false",))
    names = {spec.name for spec in chosen_processes(compose_profile(refused))}
    assert "alertmanager" not in names


def test_ending_the_supervisor_ends_even_a_child_that_ignores_it(supervisor):
    pids = [child.pid for child in supervisor.children()]
    assert supervisor.stop() == []
    assert not any(is_running(pid) for pid in pids)


def test_killing_the_supervisor_outright_leaves_nothing_after_stop(supervisor):
    pids = [child.pid for child in supervisor.children()]
    os.kill(supervisor._process.pid, signal.SIGKILL)
    supervisor._process.wait()
    assert sorted(supervisor.stop()) == sorted(pids)
    assert not any(is_running(pid) for pid in pids)


def test_a_stale_supervisor_of_this_robot_is_ended_and_no_other(supervisor, paths, tmp_path):
    other = Paths(run=tmp_path / "other", data=tmp_path / "data")
    other.run.mkdir()
    (other.run / "supervisord.pid").write_text(str(supervisor._process.pid))
    stop_stale(other)
    assert supervisor.is_alive
    stop_stale(paths)
    wait_until(lambda: not supervisor.is_alive)


def test_leftovers_that_are_stopped_are_killed_too():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    os.kill(child.pid, signal.SIGSTOP)
    assert kill_leftovers({child.pid}) == [child.pid]
    child.wait()
    assert kill_leftovers({child.pid}) == []
