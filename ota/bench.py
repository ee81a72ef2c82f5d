"""How fast Debian's client writes a slot, beside `gzip -dc | dd` of the same bytes; as one JSON.

`python -m ota.bench [--mib N] [--rounds N] [--place FOLDER]`, as root: slots are loop devices over
files, in a mount namespace of its own. Client and dd take turns and medians are compared, so that
a disk that is slower for a while is slower for both. What the boot environment would answer is
answered by a script: it is a sector, and not what takes the time.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from ota.artifact import GZIP_LEVEL, Artifact, Payload, write_artifact
from ota.payloads import ROOTFS

ROOT: Final = Path(__file__).resolve().parents[1]
MIB: Final = 1 << 20
NOISE: Final = 0.35  # share of the image that no compressor makes smaller, as in a real slot
BLOCK: Final = 64 << 10
NEEDED: Final = ("mender", "unshare", "losetup", "dd", "gzip", "mount")
PRINT: Final = """#!/bin/sh
for name; do case $name in
  mender_boot_part) echo mender_boot_part=2 ;;
  upgrade_available) echo upgrade_available=0 ;;
  mender_check_saveenv_canary) echo mender_check_saveenv_canary=0 ;;
  mender_uboot_separator) echo mender_uboot_separator= ;;
  *) exit 1 ;;
esac; done
"""
SET: Final = "#!/bin/sh\n[ $# -gt 1 ] && cat >/dev/null\nexit 0\n"
ENTER: Final = """set -e
/bin/mount --bind "$0/etc" /etc/mender
exec mender --no-syslog --config "$0/mender.conf" --fallback-config /none --data "$0/data" \\
  install "$0/bench.mender"
"""
PEER: Final = 'gzip -dc "$0" | dd of="$1" bs=1M conv=fsync status=none'


def image(mib: int) -> bytes:
    """Noise and zeros in turns, the same each time it is asked for."""
    import random

    source = random.Random(5)
    noise, zeros = source.randbytes(int(BLOCK * NOISE)), bytes(BLOCK - int(BLOCK * NOISE))
    turns = [bytes([turn % 251]) + noise[1:] + zeros for turn in range(mib * MIB // BLOCK)]
    return b"".join(turns)


@contextmanager
def slots(folder: Path, mib: int) -> Iterator[None]:
    """Loop devices by names that end in the number of their partition, as the client wants it."""
    with ExitStack() as stack:
        for number in (2, 3):
            backing = folder / f"slot{number}"
            with backing.open("wb") as out:
                out.truncate(mib * MIB)
            loop = run("losetup", "-f", "--show", str(backing)).strip()
            stack.callback(run, "losetup", "-d", loop)
            os.mknod(folder / f"part{number}", 0o60600, Path(loop).stat().st_rdev)
        yield


def prepare(folder: Path, content: bytes) -> None:
    for name in ("bin", "data", "etc"):
        (folder / name).mkdir()
    mount = f"#!/bin/sh\necho '{folder}/part2 on / type ext4 (ro)'\n"
    for name, text in (
        ("grub-mender-grubenv-print", PRINT),
        ("grub-mender-grubenv-set", SET),
        ("mount", mount),
    ):
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    (folder / "data/device_type").write_text("device_type=bench\n")
    (folder / "etc/artifact_info").write_text("artifact_name=before\n")
    parts = {"RootfsPartA": f"{folder}/part2", "RootfsPartB": f"{folder}/part3"}
    (folder / "mender.conf").write_text(json.dumps(parts))
    payload = Payload(ROOTFS, {"slot.img": content}, {}, ())
    write_artifact(Artifact("bench", ("bench",), payload), None, folder / "bench.mender")
    (folder / "slot.img").write_bytes(content)
    run("gzip", f"-{GZIP_LEVEL}", "-n", str(folder / "slot.img"))


def install_s(folder: Path) -> float:
    words = ["unshare", "--mount", "sh", "-c", ENTER, str(folder)]
    path = f"{folder / 'bin'}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    return timed(words, {"PATH": path, "HOME": str(folder)})


def peer_s(folder: Path) -> float:
    words = ["sh", "-c", PEER, str(folder / "slot.img.gz"), str(folder / "part3")]
    return timed(words, {"PATH": os.environ.get("PATH", os.defpath)})


def timed(words: list[str], settings: dict[str, str]) -> float:
    began_s = time.perf_counter()
    done = subprocess.run(words, env=settings, capture_output=True, text=True, check=False)
    took_s = time.perf_counter() - began_s
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]} ended with {done.returncode}: {done.stderr[-400:]}")
    return took_s


def clear(folder: Path, mib: int) -> None:
    """The client leaves alone what is right already: each turn finds other bytes."""
    with (folder / "part3").open("wb") as slot:
        for _ in range(mib):
            slot.write(b"\xa5" * MIB)
        slot.flush()
        os.fsync(slot.fileno())


def run(*words: str) -> str:
    program = shutil.which(words[0], path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        raise RuntimeError(f"{words[0]} is not here")
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def measure(mib: int, rounds: int, place: Path) -> dict[str, object]:
    place.mkdir(exist_ok=True)
    content = image(mib)
    client: list[float] = []
    peer: list[float] = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=place) as name:
        folder = Path(name)
        with slots(folder, mib):
            prepare(folder, content)
            for _ in range(rounds):
                for took, work in ((client, install_s), (peer, peer_s)):
                    clear(folder, mib)
                    took.append(work(folder))
            written = (folder / "slot3").read_bytes() == content
        packed_mib = (folder / "bench.mender").stat().st_size / MIB
    if not written:
        raise RuntimeError("the slot does not hold what was written")
    client_s, dd_s = statistics.median(client), statistics.median(peer)
    return {
        "image_mib": mib,
        "artifact_mib": round(packed_mib, 1),
        "rounds": rounds,
        "mender_client_mib_s": round(mib / client_s, 1),
        "gzip_dd_mib_s": round(mib / dd_s, 1),
        "times_as_long_as_dd": round(client_s / dd_s, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="ota.bench", description="Speed of writing a slot")
    parser.add_argument("--mib", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--place", type=Path, default=ROOT / "var", help="disk of the slots")
    args = parser.parse_args()
    missing = [
        name for name in NEEDED if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None
    ]
    if missing or os.geteuid() != 0:
        sys.exit(f"{', '.join(missing) or 'root'}: needed, because slots are loop devices")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # loops go with it
    try:
        sys.stdout.write(f"{json.dumps(measure(args.mib, args.rounds, args.place))}\n")
    except (RuntimeError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
