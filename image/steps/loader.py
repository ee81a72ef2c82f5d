"""GRUB as an ordinary UEFI program, and what it reads: which slot, and how that slot is started."""

from pathlib import Path

from image.cache import Cache
from image.disk_layout import Arguments, Partition
from image.lockfile import PackageSet
from image.steps.tools import Tools, unpack

MODULES = (
    "boot",
    "cat",
    "configfile",
    "echo",
    "ext2",
    "fat",
    "gcry_sha256",
    "halt",
    "hashsum",
    "linux",
    "loadenv",
    "ls",
    "minicmd",
    "normal",
    "part_gpt",
    "reboot",
    "regexp",
    "search",
    "sleep",
    "test",
)
# Read by a parser that knows no `if`: it only hands over. Where the program came from is set by it.
EMBEDDED = "set prefix=($root)/bedplate\nset root=$root\nnormal ($root)/bedplate/grub.cfg\n"
FIRMWARE_PATH = "EFI/BOOT/BOOTAA64.EFI"
GRUB_CFG = Path(__file__).resolve().parents[1] / "files" / "grub.cfg"


def make_loader(packages: PackageSet, tools: Tools, cache: Cache, work: Path) -> Path:
    modules = unpack("loader", packages, cache) / "usr/lib/grub/arm64-efi"
    embedded = work / "embedded.cfg"
    embedded.write_text(EMBEDDED)
    target = work / "BOOTAA64.EFI"
    tools.run(
        "grub-mkimage",
        "--format=arm64-efi",
        f"--directory={modules}",
        "--prefix=/bedplate",
        f"--config={embedded}",
        f"--output={target}",
        *MODULES,
        why="make the boot loader",
        environment={"SOURCE_DATE_EPOCH": "0"},
    )
    return target


def slot_file(arguments: Arguments) -> str:
    """What GRUB reads of a slot. It puts an argument with spaces into double quotes by itself, and
    would put a backslash before quotes of ours, which the kernel does not understand."""
    return f"set arguments='{' '.join(arguments.words)}'\nset verity='{arguments.verity}'\n"


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
