"""Locked archives on every Python: Debian 12's knows no filters, later ones refuse links."""

import io
import tarfile
from pathlib import Path

from image.archives import extract_all


def made() -> io.BytesIO:
    """As packages are: a program, a link to another place of the same root."""
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w") as archive:
        program = tarfile.TarInfo("./usr/bin/x")
        program.size, program.mode = 3, 0o755
        archive.addfile(program, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("./etc/alternatives/x")
        link.type, link.linkname = tarfile.SYMTYPE, "/usr/bin/x"
        archive.addfile(link)
    kept.seek(0)
    return kept


def test_program_and_absolute_link_come_out_as_they_are(tmp_path: Path):
    with tarfile.open(fileobj=made()) as archive:
        extract_all(archive, tmp_path, archive.getmembers())
    assert (tmp_path / "usr/bin/x").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "etc/alternatives/x").readlink() == Path("/usr/bin/x")


def test_no_program_asks_for_a_filter_that_debians_python_does_not_know():
    root = Path(__file__).resolve().parents[2]
    for area in ("image", "rt_kernel", "ota", "runtime", "fleet", "sim"):
        for file in (root / area).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            assert not ("extractall(" in text and "filter=" in text), file
