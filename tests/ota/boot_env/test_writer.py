"""One client at a time: who is refused, and that nobody is refused for ever."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.boot_env import writer
from ota.boot_env.request import Refused
from ota.boot_env.writer import CLIENT, claim


class Processes:
    """A folder that stands for /proc."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.note = str(folder / "note")

    def has(self, number: int, name: str = CLIENT, began: int = 5, parent: int = 1) -> None:
        home = self.folder / str(number)
        (home / "fd").mkdir(parents=True, exist_ok=True)
        (home / "comm").write_text(f"{name}\n")
        rest = " ".join(["S", str(parent), *["0"] * 17, str(began), "0"])
        (home / "stat").write_text(f"{number} (a) b) {rest}\n")

    def lacks(self, number: int) -> None:
        for file in ("comm", "stat"):
            (self.folder / str(number) / file).unlink()

    def asks(self, number: int) -> None:
        claim(self.note, number, str(self.folder))

    @property
    def holder(self) -> str:
        """The process that the note names."""
        return Path(self.note).read_text().split("/")[0]


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    made = Processes(tmp_path)
    made.has(10)
    made.has(11)
    made.asks(10)
    return made


def test_a_second_client_is_refused_and_told_of_whom(processes: Processes) -> None:
    with pytest.raises(Refused, match="process 10"):
        processes.asks(11)
    processes.asks(10)


def test_a_client_that_is_gone_bars_nobody(processes: Processes) -> None:
    processes.lacks(10)
    processes.asks(11)
    assert processes.holder == "11"


def test_a_number_that_came_again_bars_nobody(processes: Processes) -> None:
    processes.has(10, began=900)
    processes.asks(11)
    assert processes.holder == "11"


def test_a_daemon_that_has_finished_bars_nobody_and_one_with_a_disk_open_does(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "BEGINS_S", 0.0)
    (processes.folder / "10/fd/7").touch()
    monkeypatch.setattr(writer, "_is_disk", lambda path: path.endswith("/fd/7"))
    with pytest.raises(Refused):
        processes.asks(11)
    (processes.folder / "10/fd/7").unlink()
    processes.asks(11)


def test_a_client_whose_module_has_a_disk_open_bars_others(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later clients write through a shell script that starts the program which writes."""
    monkeypatch.setattr(writer, "BEGINS_S", 0.0)
    processes.has(20, "rootfs-image", parent=10)
    processes.has(21, "mender-flash", parent=20)
    (processes.folder / "21/fd/7").touch()
    monkeypatch.setattr(writer, "_is_disk", lambda path: path.endswith("/fd/7"))
    with pytest.raises(Refused):
        processes.asks(11)
    processes.has(20, "rootfs-image", parent=30)
    processes.asks(11)


def test_a_person_who_asks_claims_nothing(processes: Processes) -> None:
    processes.lacks(10)
    processes.has(12, "bash")
    processes.asks(12)
    processes.asks(11)
    with pytest.raises(Refused):
        processes.asks(12)


def test_without_a_place_for_notes_nobody_is_refused(processes: Processes) -> None:
    claim("/no/such/place", 11, str(processes.folder))
    assert processes.holder == "10"


def test_this_very_machine_is_understood(tmp_path: Path) -> None:
    claim(str(tmp_path / "note"), os.getpid())
    assert writer._lives(writer._identity(os.getpid(), "/proc"), "/proc")


@given(st.binary(max_size=120))
def test_any_note_is_read_or_passed_over(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes
) -> None:
    folder = tmp_path_factory.mktemp("noise")
    made = Processes(folder)
    made.has(11)
    (folder / "note").write_bytes(noise)
    made.asks(11)
    assert made.holder == "11"
