"""The kernel of the recipe starts in QEMU, is a real-time one, and verifies its root.

The root holds one static program that prints what the running kernel says of itself; what the robot
would judge of that is judged here.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from conf.load import compose
from conf.schema import Config
from records import Certainty
from rt_kernel.boot_args import boot_arguments
from rt_kernel.build import KernelBuild, build_kernel
from rt_kernel.cli import cache_folder
from rt_kernel.verify import judge, read_facts

pytestmark = [pytest.mark.image, pytest.mark.timeout(3600)]
HERE = Path(__file__).parent
FIRMWARE = Path("/usr/share/AAVMF/AAVMF_CODE.fd")
BLOCK_BYTES = 4096
ROOT_MIB = 16
TOOLS = ("qemu-system-aarch64", "aarch64-linux-gnu-gcc", "mke2fs", "veritysetup")
COMPILE = ("-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-O1")


def run(*command: object) -> str:
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; ./bootstrap.sh image")


@pytest.fixture(scope="module")
def config() -> Config:
    """QEMU's board with two CPUs, one of them isolated."""
    config = compose(hardware="qemu_arm64").config
    realtime = config.hardware.realtime.model_copy(update={"cpus": 2, "isolated_cpus": (1,)})
    return config.model_copy(
        update={"hardware": config.hardware.model_copy(update={"realtime": realtime})}
    )


@pytest.fixture(scope="module")
def kernel(config: Config) -> KernelBuild:
    return build_kernel(config, cache_folder(), os.cpu_count() or 1, print)


@dataclass(frozen=True)
class Root:
    """A file system with its hash tree behind it."""

    disk: Path
    blocks: int
    digest: str

    @property
    def arguments(self) -> tuple[str, ...]:
        table = f"0 {self.blocks * 8} verity 1 /dev/vda /dev/vda {BLOCK_BYTES} {BLOCK_BYTES}"
        table += f" {self.blocks} {self.blocks + 1} sha256 {self.digest} -"
        return (
            "root=/dev/dm-0",
            "ro",
            "dm-mod.waitfor=/dev/vda",
            f'dm-mod.create="r,,,ro,{table}"',
        )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    folder = tmp_path_factory.mktemp("root")
    tree, disk = folder / "tree", folder / "disk"
    for name in ("proc", "sys", "dev", "sbin"):
        (tree / name).mkdir(parents=True)
    source = HERE / "kernel_init.c"
    run("aarch64-linux-gnu-gcc", *COMPILE, "-o", tree / "sbin/init", source)
    blocks = ROOT_MIB * 1024 * 1024 // BLOCK_BYTES
    run("mke2fs", "-q", "-t", "ext4", "-b", BLOCK_BYTES, "-d", tree, disk, blocks)
    words = [f"--hash-offset={blocks * BLOCK_BYTES}", f"--data-blocks={blocks}", "--salt=-"]
    said = run("veritysetup", "format", *words, disk, disk)
    digest = re.search(r"^Root hash:\s+([0-9a-f]{64})$", said, re.MULTILINE)
    assert digest is not None
    return Root(disk, blocks, digest[1])


def start(kernel: KernelBuild, disk: Path, arguments: tuple[str, ...], *devices: str) -> str:
    """Power on until power off or reset; gives what came out of the serial line."""
    command = ["qemu-system-aarch64", "-machine", "virt,acpi=off,gic-version=3"]
    command += ["-cpu", "cortex-a57", "-smp", "2", "-m", "512", "-accel", "tcg,thread=multi"]
    command += ["-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none"]
    command += ["-no-reboot", "-kernel", str(kernel.image)]
    command += ["-append", " ".join(("console=ttyAMA0", *arguments))]
    command += ["-drive", f"file={disk},format=raw,if=none,id=root,snapshot=on"]
    # One queue: with one for each CPU, the isolated one would get an interrupt of its own.
    command += ["-device", "virtio-blk-pci,drive=root,num-queues=1", *devices]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def files_said(output: str, root: Path) -> Path:
    """The files that the machine printed, as files below `root`."""
    framed = re.findall(r"\n@@ (/\S+)\n(.*?)\n@@ end\n", output.replace("\r", ""), re.DOTALL)
    for name, text in framed:
        file = root / name.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


WATCHDOG = ("-device", "i6300esb", "-action", "watchdog=reset")


@pytest.fixture(scope="module")
def said(
    kernel: KernelBuild, root: Root, config: Config, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """One start with the profile's own arguments, from a verified root, without an initrd."""
    output = start(kernel, root.disk, (*boot_arguments(config), *root.arguments), *WATCHDOG)
    assert "@@ all said" in output, output[-4000:]
    folder = files_said(output, tmp_path_factory.mktemp("said"))
    (folder / "console").write_text(output)
    return folder


def test_it_starts_as_the_kernel_that_was_built(said: Path, kernel: KernelBuild):
    assert (said / "proc/sys/kernel/osrelease").read_text().strip() == kernel.release
    version = (said / "proc/version").read_text()
    assert "PREEMPT_RT" in version
    assert "bedplate@bedplate" in version
    assert (said / "sys/kernel/realtime").read_text().strip() == "1"


def test_what_the_robot_would_judge_of_it_is_all_in_order(
    said: Path, kernel: KernelBuild, config: Config
):
    findings = judge(config, read_facts(said), kernel.release)
    assert {f.item: f.found for f in findings if f.verdict is not Certainty.OK} == {}
    assert {"cpu.isolated", "cpu.nohz_full", "irq.affinity"} <= {f.item for f in findings}


def test_its_root_is_the_verified_one_and_read_only(said: Path):
    root = next(line for line in (said / "proc/mounts").read_text().splitlines() if " / " in line)
    assert re.match(r"/dev/(root|dm-0) / ext4 ro,", root)


def test_watchdog_clock_and_file_systems_are_built_in_and_modules_are_not(said: Path):
    assert "i6300ESB" in (said / "sys/class/watchdog/watchdog0/identity").read_text()
    assert "rtc-pl031" in (console := (said / "console").read_text())
    assert "setting system clock to" in console
    known = (said / "proc/filesystems").read_text().split()
    assert {"ext4", "vfat", "tmpfs", "cgroup2", "autofs", "bpf"} <= set(known)
    assert not (said / "proc/modules").exists()


def test_one_flipped_bit_in_the_root_is_not_run(
    kernel: KernelBuild, root: Root, config: Config, tmp_path: Path
):
    damaged = tmp_path / "disk"
    content = bytearray(root.disk.read_bytes())
    place = content.index(b"@@ all said")
    content[place] ^= 1
    damaged.write_bytes(content)
    output = start(kernel, damaged, (*boot_arguments(config), *root.arguments))
    assert "verity" in output
    assert "is corrupted" in output
    assert " all said" not in output


def test_a_machine_that_hangs_is_reset_by_its_watchdog(
    kernel: KernelBuild, root: Root, config: Config
):
    """The program closes the device as a process that dies does; that must not stop it."""
    arguments = (*boot_arguments(config), *root.arguments, "test=hang")
    output = start(kernel, root.disk, arguments, *WATCHDOG)
    assert "watchdog opened" in output
    assert "@@ all said" not in output


def test_the_firmware_starts_it_as_a_uefi_program(kernel: KernelBuild, root: Root, config: Config):
    if not FIRMWARE.is_file():
        pytest.skip(f"no {FIRMWARE}: qemu-efi-aarch64 is not installed")
    firmware = ("-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE}")
    output = start(kernel, root.disk, (*boot_arguments(config), *root.arguments), *firmware)
    assert "EFI stub" in output
    assert "@@ all said" in output


def test_the_device_trees_of_the_orin_are_made(kernel: KernelBuild):
    names = {tree.name for tree in kernel.device_trees.iterdir()}
    assert "tegra234-p3737-0000+p3701-0000.dtb" in names
    magic = {tree.read_bytes()[:4] for tree in kernel.device_trees.iterdir()}
    assert magic == {b"\xd0\x0d\xfe\xed"}
