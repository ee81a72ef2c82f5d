"""A kernel source in small: Debian's packaging, a tree of a few files, make targets of the same
names; and an archive that is a folder."""

import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rt_kernel import build, source
from rt_kernel.recipe import Source, Toolchain, render_source

MAKEFILE = """
B := arch/arm64/boot
allnoconfig:
\t@grep -v BOGUS $(KCONFIG_ALLCONFIG) > .config; grep -q WITHOUT_RT $(KCONFIG_ALLCONFIG) || true
olddefconfig:
\t@:
Image:
\t@echo "  CC      init/main.o"; touch init/main.o
\t@if test -e ../sleep; then echo $$$$ > ../pid; mv ../pid ../sleeping; exec sleep 60; fi
\t@test ! -e ../fail || { echo "init/main.c:1: error: planted"; exit 1; }
\t@mkdir -p $(B) include/config; echo 6.12.0$(LOCALVERSION) > include/config/kernel.release
\t@{ cat .config init/main.c; date -u -d "$(KBUILD_BUILD_TIMESTAMP)" +%s; } > $(B)/Image
\t@echo "$(KBUILD_BUILD_USER)@$(KBUILD_BUILD_HOST) $(CFLAGS)" >> $(B)/Image
dtbs:
\t@mkdir -p $(B)/dts/nvidia; echo t > $(B)/dts/nvidia/tegra234-board.dtb
"""
KCONFIG = """
config PREEMPT_RT
\tbool
if EXPERT
config BOGUS_DRIVER
\tbool
\tdepends on MAGIC
endif
"""
KSYSFS = "one\ntwo\nthree\n"
PATCH = "--- a/init/main.c\n+++ b/init/main.c\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"


@dataclass
class Archive:
    """What an apt mirror has, and how often it was asked."""

    folder: Path
    locked: Source
    said: list[str] = field(default_factory=list)

    @property
    def asked(self) -> int:
        log = self.folder / "asked"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def say(self, text: str) -> None:
        self.said.append(text)

    def offer(self, version: str, main: str = KSYSFS) -> Source:
        """Make a package of that version, as the only one there is."""
        for old in self.folder.rglob("*.deb"):
            old.unlink()
        file = self.folder / f"pool/linux-source_{version}_all.deb"
        file.parent.mkdir(exist_ok=True)
        pack(self.folder / f"work-{version}", version, main, file)
        return Source(
            name="linux-source-6.12",
            version=version,
            sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
            path=str(file.relative_to(self.folder)),
            size_bytes=file.stat().st_size,
        )


def pack(work: Path, version: str, main: str, file: Path) -> None:
    tree = work / "linux-source-6.12"
    (tree / "init").mkdir(parents=True)
    (tree / "Makefile").write_text(MAKEFILE)
    (tree / "Kconfig").write_text(KCONFIG)
    (tree / "init/main.c").write_text(main)
    root = work / "root"
    (root / "usr/src").mkdir(parents=True)
    (root / "DEBIAN").mkdir()
    control = f"Package: linux-source-6.12\nVersion: {version}\nArchitecture: all\n"
    control += "Maintainer: nobody <nobody@example.org>\nDescription: a kernel in small\n"
    (root / "DEBIAN/control").write_text(control)
    tar = root / "usr/src/linux-source-6.12.tar.xz"
    run("tar", "--create", "--xz", f"--file={tar}", f"--directory={work}", tree.name)
    run("dpkg-deb", "--build", "-Znone", "--root-owner-group", str(root), str(file))


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


HELPER = """#!/bin/sh
echo "$2" >> {folder}/asked
case "$2" in {folder}/*) ;; *) echo "no such host" >&2; exit 100;; esac
test -e "$2" || {{ echo "404  Not Found" >&2; exit 100; }}
cp "$2" "$3"
"""


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """The recipe's own source, patches and fragments are replaced by small ones."""
    folder = tmp_path / "archive"
    folder.mkdir()
    helper = folder / "apt-helper"
    helper.write_text(HELPER.format(folder=folder))
    helper.chmod(0o755)
    recipe = tmp_path / "recipe"
    for name, text in {
        "fragments/realtime.config": "# Real time.\n# Why not.\nCONFIG_PREEMPT_RT=y\n",
        "patches/small.patch": PATCH,
    }.items():
        (recipe / name).parent.mkdir(parents=True)
        (recipe / name).write_text(text)
    found = Archive(folder, Source("", "", "", "", 0))
    found.locked = found.offer("6.12.1-1")
    (recipe / "source.json").write_text(render_source(found.locked))
    read: Callable[..., object] = build.read_recipe
    monkeypatch.setattr(source, "APT_HELPER", helper)
    monkeypatch.setattr(source, "archive_roots", lambda: ("/nowhere/", f"{folder}/"))
    monkeypatch.setattr(build, "SOURCE_LOCK", recipe / "source.json")
    monkeypatch.setattr(build, "read_toolchain", lambda: Toolchain("gcc 1", "ld 1"))
    monkeypatch.setattr(build, "check_machine", lambda cache: None)
    monkeypatch.setattr(build, "read_recipe", lambda tools, locked: read(tools, locked, recipe))
    return found
