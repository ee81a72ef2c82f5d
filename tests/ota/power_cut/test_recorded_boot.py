"""The robot's own GRUB under its own firmware, its writes recorded; needs a built image."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from image.qemu import Guest, command, prepare
from ota.boot_env.decision import Choice, Content, Disk, boot
from ota.boot_env.esp import locate
from ota.boot_env.states import State, Write, decode, encode
from ota.power_cut.judge import is_whole, table_of
from ota.power_cut.record import recorded
from ota.power_cut.write_log import Wrote, entries, windows

pytestmark = [pytest.mark.image, pytest.mark.timeout(600)]
IMAGE = Path(__file__).resolve().parents[3] / "var/image/qemu_arm64-osaka/disk.img"
DECIDED = (b"EFI stub: Exiting boot services", b"bedplate: HALT")
BOOT_S = 120  # a hang ends


def recorder_is_missing() -> str:
    return next((t for t in ("qemu-system-aarch64", "qemu-img") if shutil.which(t) is None), "")


def start(folder: Path, image: Path) -> tuple[bytes, list[Wrote | None]]:
    """One start up to the kernel; the console and the log."""
    console = folder / "console"
    guest = Guest(image=image, folder=folder, disk_mib=16384, serial=f"file:{console}", ssh_port=0)
    prepare(guest)
    log = folder / "writes"
    process = subprocess.Popen(
        recorded(command(guest), folder / "disk.qcow2", log),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + BOOT_S
        said = b""
        while time.monotonic() < end and not any(text in said for text in DECIDED):
            time.sleep(0.2)
            said = console.read_bytes() if console.exists() else b""
    finally:
        process.kill()
        process.wait()
    return said, list(entries(log))


@pytest.mark.skipif(recorder_is_missing() != "", reason=f"{recorder_is_missing()} missing")
def test_grub_under_the_robots_firmware_writes_one_sector_and_does_not_flush(tmp_path):
    """Exactly the writes of the function that the model uses; nothing else of the disk."""
    if not IMAGE.exists():
        pytest.skip("no image; try  make image")
    table = table_of(IMAGE)
    with IMAGE.open("rb") as stream:

        def read(at: int, size: int) -> bytes:
            stream.seek(at)
            return stream.read(size)

        places = [
            table[1] + locate(lambda n: read(table[1] + n * 512, 512), c) * 512 for c in (1, 2)
        ]
        copies = [decode(read(at, 512)) for at in places]
        assert is_whole(read, table[2])
        assert not is_whole(read, table[3])
    expected = Disk(copies[0], copies[1], {2: Content(), 3: Content(loads=False, intact=False)})
    assert boot(expected).choice is Choice.COMMITTED
    said, found = start(tmp_path, IMAGE)
    assert b"bedplate: slot a (committed)" in said
    assert list(windows(iter(found))) == [tuple(_as_write(w, places) for w in expected.writes)]
    assert len(expected.writes) == 1
    assert copies == [State(), State()]


def _as_write(one: Write, places: list[int]) -> Wrote:
    return Wrote(places[one.copy - 1], encode(one.state))
