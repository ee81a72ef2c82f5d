"""GRUB as an ordinary UEFI program, and what it reads to know which slot boots."""

from pathlib import Path

from image.cache import Cache
from image.disk_layout import Partition
from image.lockfile import PackageSet
from image.steps.tools import Tools, unpack
from ota.boot_env import memdisk
from ota.boot_env.states import INITIAL, encode

MODULES = (
    "boot",
    "configfile",
    "echo",
    "ext2",
    "fat",
    "gcry_sha256",
    "halt",
    "hashsum",
    "linux",
    "loadenv",
    "loopback",
    "memdisk",
    "minicmd",
    "normal",
    "part_gpt",
    "probe",
    "regexp",
    "sleep",
    "tar",
    "test",
    "true",
)
# Read by a parser that knows no `if`: it only hands over. $root is the archive inside the program;
# the partition that the firmware read the program from is in $fw_path.
EMBEDDED = """\
regexp --set 1:root '^[(]([^)]+)' $fw_path
set prefix=($root)/bedplate
normal ($root)/bedplate/grub.cfg
"""
FIRMWARE_PATH = "EFI/BOOT/BOOTAA64.EFI"
GRUB_CFG = Path(__file__).resolve().parents[2] / "ota" / "grub" / "grub.cfg"
# Sectors around each copy of the environment that nothing is ever written to: a disk that writes
# larger blocks than it says, and fails in one, takes no second copy and no folder with it.
CLEAR_BYTES = 16 << 10


def make_loader(packages: PackageSet, tools: Tools, cache: Cache, work: Path) -> Path:
    modules = unpack("loader", packages, cache) / "usr/lib/grub/arm64-efi"
    embedded = work / "embedded.cfg"
    embedded.write_text(EMBEDDED)
    states = work / "memdisk.tar"
    states.write_bytes(memdisk.archive())
    target = work / "BOOTAA64.EFI"
    tools.run(
        "grub-mkimage",
        "--format=arm64-efi",
        f"--directory={modules}",
        f"--config={embedded}",
        f"--memdisk={states}",
        "--prefix=/bedplate",  # after the memdisk, which else becomes the place of everything
        f"--output={target}",
        *MODULES,
        why="make the boot loader",
        environment={"SOURCE_DATE_EPOCH": "0"},
    )
    return target


def environment_files(work: Path) -> dict[str, Path]:
    """Both copies at their final size, each in a folder and in a stretch of the disk of its own."""
    clear, state = work / "clear", work / "state"
    clear.write_bytes(bytes(CLEAR_BYTES))
    state.write_bytes(encode(INITIAL))
    # In the order of their names they are laid behind each other.
    names = {"ahead": clear, memdisk.NAME: state, "under": clear}
    return {f"bedplate/env{copy}/{name}": path for copy in (1, 2) for name, path in names.items()}


def make_esp(
    partition: Partition, files: dict[str, Path], tools: Tools, target: Path, epoch: int
) -> None:
    """The EFI system partition as a file."""
    with target.open("wb") as out:
        out.truncate(partition.size_bytes)
    settings = {"SOURCE_DATE_EPOCH": str(epoch), "MTOOLS_SKIP_CHECK": "1"}
    volume = f"{partition.identity.int & 0xFFFFFFFF:08x}"
    tools.run(
        "mkfs.fat", "-F", "32", "-S", "512", "-s", "1", "-i", volume, "-n", "BEDPLATE",
        "--invariant", target, why="make the EFI system partition", environment=settings,
    )  # fmt: skip
    folders = sorted({parent for name in files for parent in _parents(name)})
    for folder in folders:
        tools.run("mmd", "-i", target, f"::{folder}", why="make its folders", environment=settings)
    for name, source in sorted(files.items()):
        tools.run("mcopy", "-i", target, source, f"::{name}", why="fill it", environment=settings)


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: at + 1]) for at in range(len(parts))]
