"""The scripts that the client asks for identity and inventory, run as it runs them."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.load import compose
from fleet.enrolment import invitation
from ota.mender_conf import Facts, is_invited, mender_conf
from ota.units import ota_units
from runtime.enrol import UPDATE_KEY
from runtime.units import robot_place

FILES = Path(__file__).parents[2] / "ota" / "mender_files"
IDENTITY = FILES / "identity" / "mender-device-identity"
INVENTORY = FILES / "inventory" / "mender-inventory-bedplate"
KEYS = {
    "bedplate_mode", "bedplate_config_hash", "bedplate_artifact", "bedplate_slot",
    "bedplate_gate", "bedplate_gate_reason",
}  # fmt: skip


def run(script: Path, argument: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(script), str(argument)], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("indent", [None, 2])
def test_a_robot_is_the_name_it_was_invited_under(tmp_path: Path, indent: int | None):
    document = invitation("osaka-02", "osaka", "t" * 43, "ca", "https://fleet", ("fleet", 8883))
    (tmp_path / "enrolment.json").write_text(json.dumps(document, indent=indent))
    assert run(IDENTITY, tmp_path).stdout == "robot_id=osaka-02\n"


@pytest.mark.parametrize("content", [None, "", "{}", '{"robot_id": "Os aka"}', '{"robot_id": 7}'])
def test_without_a_name_nothing_is_claimed(tmp_path: Path, content: str | None):
    if content is not None:
        (tmp_path / "enrolment.json").write_text(content)
    done = run(IDENTITY, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "flash it with an invitation" in done.stderr


def robot(root: Path, **verdict: object) -> Path:
    files = {
        "proc/cmdline": "quiet bedplate.slot=a bedplate.slot=b\n",
        "proc/sys/kernel/random/boot_id": "this-boot\n",
        "run/bedplate/boot.json": json.dumps({"config_hash": "c" * 64, "artifact_name": "r-7"}),
        "run/bedplate/gate.json": json.dumps({"boot_id": "this-boot", **verdict}),
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def told(root: Path) -> dict[str, list[str]]:
    done = run(INVENTORY, root)
    assert done.returncode == 0, done.stderr
    rows: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        key, mark, value = line.partition("=")
        assert mark
        assert value
        rows.setdefault(key, []).append(value)
    assert set(rows) == KEYS
    return rows


@contextmanager
def agent(path: Path, content: bytes, status: int = 200) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *_args: object) -> None:
            pass

        def address_string(self) -> str:
            return "robot"

    with UnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield
        server.shutdown()
        thread.join()


def test_the_inventory_carries_modes_profile_gate_slot_and_artifact(tmp_path: Path):
    root = robot(tmp_path, verdict="fail", reasons=["control latency 900 us, at most 200"])
    reply = json.dumps({"modes": ["network_offline", "gpu_offline"]}).encode()
    with agent(root / "run/bedplate/agent.sock", reply):
        rows = told(root)
    assert rows == {
        "bedplate_mode": ["network_offline", "gpu_offline"],
        "bedplate_config_hash": ["c" * 64],
        "bedplate_artifact": ["r-7"],
        "bedplate_slot": ["b"],
        "bedplate_gate": ["fail"],
        "bedplate_gate_reason": ["control latency 900 us, at most 200"],
    }


def test_a_gate_that_passed_in_an_earlier_boot_says_nothing_of_this_one(tmp_path: Path):
    root = robot(tmp_path, verdict="pass", reasons=[])
    assert told(root)["bedplate_gate"] == ["pass"]
    (root / "proc/sys/kernel/random/boot_id").write_text("another\n")
    assert told(root)["bedplate_gate"] == ["unknown"]


def test_what_cannot_be_read_is_unknown_and_never_left_out(tmp_path: Path):
    assert {value for values in told(tmp_path).values() for value in values} == {"unknown"}


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"modes": 7}', b'{"modes": []}', b"[" * 9999]
)
def test_an_agent_that_makes_no_sense_is_an_unknown_mode(tmp_path: Path, content: bytes):
    root = robot(tmp_path)
    with agent(root / "run/bedplate/agent.sock", content):
        assert told(root)["bedplate_mode"] == ["unknown"]


@pytest.mark.timeout(600)
@given(st.text(max_size=40), st.lists(st.text(max_size=40) | st.integers(), max_size=2))
def test_no_text_makes_a_line_of_its_own(tmp_path: Path, verdict: str, reasons: list):
    root = robot(tmp_path, verdict=verdict, reasons=reasons)
    rows = told(root)
    assert [len(values) for values in rows.values()] == [1] * len(KEYS)


def test_an_invited_robots_client_takes_the_key_that_enrolment_made():
    profile = {
        "ota": {
            "gate": {"timeout_s": 300, "switch_timeout_s": 30},
            "mender": {
                "update_poll_s": 60, "inventory_poll_s": 60, "retry_poll_s": 60,
                "server_url": "https://mender.example.org",
            },
        },
        "hardware": {"name": "qemu_arm64", "actuation": {}},
    }  # fmt: skip
    invited = mender_conf(profile, Facts("a", "vda2", site_ca=True, invited=True))
    assert invited["Security"] == {"AuthPrivateKey": "/data/bedplate/pki/mender.key"}
    assert "Security" not in mender_conf(profile, Facts("a", "vda2", site_ca=True))


def test_the_client_is_not_started_before_the_key_that_it_was_told_of_is_there():
    """Debian's client, started without it, neither ends nor ever looks again."""
    units = ota_units(compose().config, robot_place("osaka-02"))
    text = units["mender-client.service.d/bedplate.conf"]
    wait = "while [ -e /data/bedplate/enrolment.json ] && [ ! -e /data/bedplate/pki/mender.key ]"
    over = " && [ ! -e /data/bedplate/pki/robot.crt ]"
    assert f"ExecStartPre=/bin/sh -c '{wait}{over}; do sleep 2; done'" in text
    assert "TimeoutStartSec=infinity" in text
    assert f"/pki/{UPDATE_KEY}" in wait


@pytest.mark.parametrize(
    ("there", "invited"),
    [
        ((), False),
        (("enrolment.json",), True),
        (("enrolment.json", "pki/mender.key"), True),
        (("enrolment.json", "pki/mender.key", "pki/robot.crt"), True),
        (("enrolment.json", "pki/robot.crt"), False),
    ],
)
def test_a_robot_that_was_enrolled_without_a_key_for_its_client_does_not_wait_for_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], there: tuple[str, ...], invited: bool
):
    """The client then makes its own, and the log says who must let it in."""
    data = tmp_path / "data/bedplate"
    (data / "pki").mkdir(parents=True)
    for name in there:
        (data / name).touch()
    assert is_invited(tmp_path) is invited
    said = capsys.readouterr().err
    assert ("bedplate ota accept" in said) is (len(there) == 2 and not invited)
