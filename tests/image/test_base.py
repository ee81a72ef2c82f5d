"""Debian's root becomes a layer: checked against the lock, free of what differs."""

import io
import tarfile

import pytest

from image.lockfile import PackageSet
from image.refusal import BuildRefused
from image.steps.base import check_status, normalise
from image.twins import ASIDE, lay_in, take_out
from tests.image.test_lockfile import row

STATUS = "Package: bash\nStatus: install ok installed\nArchitecture: arm64\nVersion: 5.2-1\n"
ARM64 = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00" + bytes(40)
X86 = ARM64[:18] + b"\x3e\x00" + ARM64[20:]


def tar(tmp_path, files: dict[str, bytes], folders=("usr", "usr/lib", "var", "dev", "etc")):
    path = tmp_path / "raw.tar"
    with tarfile.open(path, "w") as archive:
        for name in folders:
            info = tarfile.TarInfo(f"./{name}")
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(info)
        for name, data in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size, info.uname = len(data), "builder"
            archive.addfile(info, io.BytesIO(data))
    return path


def kept(path) -> set[str]:
    with tarfile.open(path) as archive:
        return {member.name.removeprefix("./") for member in archive}


def test_what_differs_or_comes_later_is_left_out_and_dpkg_moves(tmp_path):
    raw = tar(
        tmp_path,
        {
            "etc/machine-id": b"x",
            "etc/passwd": b"root:x:0:0::/root:/bin/sh\n",
            "etc/ssh/ssh_host_ed25519_key": b"secret",
            "usr/bin/tool": ARM64,
            "var/cache/x": b"",
            "var/lib/dpkg/status": STATUS.encode(),
            "var/lib/dpkg/status-old": b"",
            "dev/null": b"",
        },
        ("usr", "usr/lib", "var", "var/lib", "var/lib/dpkg", "dev", "etc"),
    )
    facts = normalise(raw, tmp_path / "out.tar")
    names = kept(tmp_path / "out.tar")
    assert "usr/bin/tool" in names
    assert "usr/lib/bedplate/dpkg/status" in names
    assert "dev" in names
    assert not names & {"etc/machine-id", "etc/passwd", "etc/ssh/ssh_host_ed25519_key", "dev/null"}
    assert not [name for name in names if name.startswith("var/") or name.endswith("-old")]
    assert facts["accounts"] == {"passwd": "root:x:0:0::/root:/bin/sh\n"}
    assert facts["status"] == STATUS


def test_bytes_that_depend_on_who_imported_first_are_left_out(tmp_path):
    """Two builds differed in them: the marks of a .pyc tell what else was in memory then."""
    cached = "usr/share/python3/debpython/__pycache__/files.cpython-313.pyc"
    compiled = "usr/lib/python3/dist-packages/__pycache__/tool.cpython-313.pyc"
    raw = tar(tmp_path, {cached: b"1", compiled: b"2", "usr/share/python3/debpython/files.py": b""})
    normalise(raw, tmp_path / "out.tar")
    assert kept(tmp_path / "out.tar") >= {compiled, "usr/share/python3/debpython/files.py"}
    assert cached not in kept(tmp_path / "out.tar")


def test_program_of_the_build_machine_is_found(tmp_path):
    raw = tar(tmp_path, {"usr/bin/tool": X86, "usr/bin/good": ARM64})
    with pytest.raises(BuildRefused, match="/usr/bin/tool"):
        normalise(raw, tmp_path / "out.tar")


def test_newcomer_in_var_is_found(tmp_path):
    raw = tar(tmp_path, {"var/lib/newcomer/state": b""})
    with pytest.raises(BuildRefused, match="var/lib/newcomer/state"):
        normalise(raw, tmp_path / "out.tar")


def packages(*rows) -> PackageSet:
    return PackageSet(architecture="arm64", wanted=("bash",), rows=rows)


def test_installed_is_locked_and_locked_is_installed():
    check_status(STATUS, packages(row()))
    with pytest.raises(BuildRefused, match=r"5\.2-1 arm64 is installed, locked is 5\.2-2"):
        check_status(STATUS, packages(row(version="5.2-2")))
    with pytest.raises(BuildRefused, match="no row"):
        check_status(STATUS.replace("bash", "intruder") + "\n" + STATUS, packages(row()))
    with pytest.raises(BuildRefused, match="locked, not installed"):
        check_status(STATUS, packages(row(), row("dash")))


def test_twins_leave_no_byte_behind(tmp_path):
    """A program there before, one that comes while they are in, and the diversions of others."""
    tools, root, record = tmp_path / "tools", tmp_path / "root", tmp_path / "record.json"
    for folder in ("usr/bin", "usr/lib/x86_64-linux-gnu", "usr/lib64"):
        (tools / folder).mkdir(parents=True)
    for name in ("sed", "grep"):
        (tools / "usr/bin" / name).write_bytes(X86)
    (tools / "usr/lib64/ld-linux-x86-64.so.2").write_bytes(X86)
    for folder in ("usr/bin", "var/lib/dpkg"):
        (root / folder).mkdir(parents=True)
    (root / "usr/bin/sed").write_bytes(ARM64)
    others = "/usr/bin/x\n/usr/bin/x.distrib\ndash\n"
    (root / "var/lib/dpkg/diversions").write_text(others)
    record.write_text('{"twins": ["usr/bin/grep", "usr/bin/sed"]}')
    lay_in(tools, record, root)
    assert (root / "usr/bin/sed").read_bytes() == X86
    (root / f"usr/bin/grep{ASIDE}").write_bytes(ARM64)  # dpkg, diverted, unpacks it here
    take_out(record, root)
    found = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    assert found == {
        "usr/bin/grep": ARM64,
        "usr/bin/sed": ARM64,
        "var/lib/dpkg/diversions": others.encode(),
    }
    assert not (root / "lib64").is_symlink()
