"""Where a skill's bytes come from: a folder or a `.skill` archive (plain tar).

Everything is read into memory under caps and checked there; nothing from outside chooses a path.
"""

import io
import re
import stat
import tarfile
from pathlib import Path

from runtime.skills.refusal import RefusalReason, SkillRefusedError, refuse
from runtime.skills.signature import MAX_FILE_BYTES, MAX_FILES

ARCHIVE_SUFFIX = ".skill"
MAX_TOTAL_BYTES = 16 * 1024 * 1024
# The two signature files come on top of the listed ones.
_MAX_ENTRIES = MAX_FILES + 2
_SAFE_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,39}\.[a-z]{1,8}")

SkillFiles = dict[str, bytes]


def read_source(source: Path) -> SkillFiles:
    """All files of a skill by flat name, or a refusal; links, folders and odd names are refused."""
    try:
        if source.is_dir() and not source.is_symlink():
            return _read_folder(source)
        if source.suffix == ARCHIVE_SUFFIX and source.is_file():
            return _read_archive(source)
    except (OSError, tarfile.TarError, EOFError, ValueError) as error:
        raise refuse(
            RefusalReason.STORAGE_FAILED,
            source,
            got=f"{type(error).__name__}: {error}",
            allowed="a readable skill folder or archive",
            attempt="copy the skill again and compare its size",
        ) from error
    raise refuse(
        RefusalReason.NOT_FOUND,
        source,
        got="nothing that is a skill",
        allowed=f"a folder, or a file ending in {ARCHIVE_SUFFIX}",
        attempt="bedplate skills list shows what is cached",
    )


def archive_bytes(files: SkillFiles) -> bytes:
    """A reproducible archive: same files, same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
    return buffer.getvalue()


def _read_folder(folder: Path) -> SkillFiles:
    files: SkillFiles = {}
    for path in sorted(folder.iterdir()):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise _unsafe(folder, path.name)
        _check_entry(folder, files, path.name, path.lstat().st_size)
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
        _check_entry(folder, files, path.name, len(content))
        files[path.name] = content
    return files


def _read_archive(source: Path) -> SkillFiles:
    if source.stat().st_size > MAX_TOTAL_BYTES + _MAX_ENTRIES * 1024 + 10240:
        raise _too_large(source, f"an archive of {source.stat().st_size} bytes")
    files: SkillFiles = {}
    with tarfile.open(source, mode="r:") as archive:
        for entry in archive:
            if not entry.isreg() or entry.name in files:
                raise _unsafe(source, entry.name)
            _check_entry(source, files, entry.name, entry.size)
            stream = archive.extractfile(entry)
            content = stream.read(MAX_FILE_BYTES + 1) if stream is not None else b""
            if len(content) != entry.size:
                raise ValueError(f"{entry.name} ends after {len(content)} of {entry.size} bytes")
            files[entry.name] = content
    return files


def _check_entry(source: Path, files: SkillFiles, name: str, size: int) -> None:
    if _SAFE_NAME.fullmatch(name) is None:
        raise _unsafe(source, name)
    if len(files) >= _MAX_ENTRIES:
        raise _too_large(source, f"more than {_MAX_ENTRIES} files")
    if size > MAX_FILE_BYTES:
        raise _too_large(source, f"{name} of {size} bytes")
    if size + sum(len(content) for content in files.values()) > MAX_TOTAL_BYTES:
        raise _too_large(source, f"more than {MAX_TOTAL_BYTES} bytes in all")


def _unsafe(source: Path, name: str) -> SkillRefusedError:
    return refuse(
        RefusalReason.PATH_UNSAFE,
        source,
        got=f"an entry {name[:80]!r}",
        allowed="regular files with flat lower-case names, each once",
        attempt="pack the skill again with bedplate skills pack",
    )


def _too_large(source: Path, got: str) -> SkillRefusedError:
    return refuse(
        RefusalReason.TOO_LARGE,
        source,
        got=got,
        allowed=f"{MAX_FILES} files of {MAX_FILE_BYTES} bytes, {MAX_TOTAL_BYTES} bytes in all",
        attempt="ship smaller networks (fp16 weights)",
    )
