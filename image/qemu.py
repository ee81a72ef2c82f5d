"""The image in QEMU: UEFI firmware, software emulation, a disk that grows to the robot's size."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from image.refusal import refused

FIRMWARE = (
    Path("/usr/share/AAVMF/AAVMF_CODE.fd"),
    Path("/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"),
)
VARIABLES = Path("/usr/share/AAVMF/AAVMF_VARS.fd")
CPU = "cortex-a76"
MEMORY_MIB = 2048


@dataclass(frozen=True, kw_only=True)
class Guest:
    """One emulated robot; its own disk, firmware variables and serial port."""

    image: Path
    folder: Path
    disk_mib: int
    cpus: int = 2
    ssh_port: int = 2222
    icount: bool = False  # virtual time counts instructions: one CPU, no network
    forwards: tuple[tuple[int, int], ...] = ()  # host port → guest port
    extra: tuple[str, ...] = ()
    serial: str = "mon:stdio"


def prepare(guest: Guest) -> None:
    """Overlay and variables, made once: a robot keeps its data over starts of this command."""
    guest.folder.mkdir(parents=True, exist_ok=True)
    overlay = guest.folder / "disk.qcow2"
    if not overlay.exists():
        _run_tool(
            "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(guest.image),
            str(overlay), f"{guest.disk_mib}M",
        )  # fmt: skip
    variables = guest.folder / "variables.fd"
    if not variables.exists():
        shutil.copyfile(VARIABLES, variables)


def command(guest: Guest) -> list[str]:
    program = shutil.which("qemu-system-aarch64")
    firmware = next((path for path in FIRMWARE if path.is_file()), None)
    if program is None or firmware is None:
        raise refused(
            "QEMU for arm64",
            "no qemu-system-aarch64" if program is None else "no UEFI firmware for it",
            "the image is started in it",
            "./bootstrap.sh image  or  apt-get install qemu-system-arm qemu-efi-aarch64",
        )
    words = [
        program,
        "-machine",
        "virt,acpi=off,gic-version=3",
        "-cpu",
        CPU,
        "-smp",
        str(1 if guest.icount else guest.cpus),
        "-m",
        str(MEMORY_MIB),
        "-nodefaults",
        "-display",
        "none",
        "-serial",
        guest.serial,
        "-drive",
        f"if=pflash,format=raw,readonly=on,file={firmware}",
        "-drive",
        f"if=pflash,format=raw,file={guest.folder / 'variables.fd'}",
        "-drive",
        f"if=none,id=disk,format=qcow2,file={guest.folder / 'disk.qcow2'},discard=unmap",
        "-device",
        # One queue: one for each CPU would put an interrupt on the isolated one.
        "virtio-blk-pci,drive=disk,bootindex=0,num-queues=1",
        "-device",
        "virtio-rng-pci",
        "-device",
        "i6300esb",
        "-action",
        "watchdog=reset",
    ]
    return [*words, *_time(guest), *_network(guest), *guest.extra]


def _time(guest: Guest) -> Sequence[str]:
    if guest.icount:
        return ("-accel", "tcg,thread=single", "-icount", "shift=1,sleep=off")
    return ("-accel", "tcg,thread=multi")


def _network(guest: Guest) -> Sequence[str]:
    if guest.icount:
        return ()  # packets from the host would bring its noise in
    rows = ((guest.ssh_port, 22), *guest.forwards)
    forwards = ",".join(f"hostfwd=tcp:127.0.0.1:{host}-:{inside}" for host, inside in rows)
    return ("-netdev", f"user,id=net,{forwards}", "-device", "virtio-net-pci,netdev=net,romfile=")


def run_in_foreground(guest: Guest) -> int:
    """Until the guest is switched off, or Ctrl-C; the terminal is its serial port."""
    prepare(guest)
    process = subprocess.Popen(command(guest))
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        return process.wait()


def start(guest: Guest, log: Path) -> subprocess.Popen[bytes]:
    """In the background; what the serial port says goes to `log`."""
    prepare(guest)
    words = command(guest)
    with (guest.folder / "qemu.log").open("wb") as out:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
        assert str(log) in guest.serial
        # A guest does not outlive whoever watches it.
        words = ["setpriv", "--pdeathsig", "KILL", *words]
        return subprocess.Popen(
            words, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
        )


def _run_tool(*words: str) -> None:
    if shutil.which(words[0]) is None:
        raise refused(
            words[0],
            "not installed",
            "the guest needs a disk",
            "./bootstrap.sh image  or  apt-get install qemu-utils",
        )
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise refused(words[0], done.stderr.strip(), "the guest needs a disk", " ".join(words))
