"""Where Debian's files come from: the machine's own apt settings, or one setting instead of them.

Only the roots of two archives are of interest; which suites the machine itself uses is not.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from image.refusal import refused

SETTING = "BEDPLATE_MIRROR"
SUITES = re.compile(r"^(bookworm|trixie|forky|sid|stable|oldstable|testing|unstable)(-\S+)?$")
ONE_LINE = re.compile(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)$")


@dataclass(frozen=True)
class Mirrors:
    """Roots below which `pool/` and `dists/` lie."""

    debian: str
    security: str

    def root(self, archive: str) -> str:
        return self.security if archive == "security" else self.debian


def find_mirrors(apt: Path = Path("/etc/apt"), setting: str | None = None) -> Mirrors:
    """Both roots; the setting is one root for Debian, or two with a comma between."""
    chosen = setting if setting is not None else os.environ.get(SETTING, "")
    if chosen:
        first, _, second = (part.strip().rstrip("/") for part in chosen.partition(","))
        return Mirrors(first, second or _security_beside(first))
    debian = security = ""
    for uri, suite in sources(apt):
        if not SUITES.match(suite):
            continue
        if "security" in suite:
            security = security or uri
        else:
            debian = debian or uri
    if not debian:
        raise refused(
            f"{apt}/sources.list and {apt}/sources.list.d",
            "no Debian archive in them",
            "the image is made of Debian packages, and no host is written into the tree",
            f"add a line for Debian there, or set {SETTING}=URL",
        )
    return Mirrors(debian, security or _security_beside(debian))


def _security_beside(debian: str) -> str:
    """Mirrors keep the security archive beside the main one, under this name."""
    return re.sub(r"/debian$", "/debian-security", debian)


def sources(apt: Path) -> Iterator[tuple[str, str]]:
    """(URI, suite) of everything that apt reads, in both of its formats."""
    folder = apt / "sources.list.d"
    files = [apt / "sources.list", *(sorted(folder.iterdir()) if folder.is_dir() else [])]
    for file in files:
        if not file.is_file():
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        if file.suffix == ".sources":
            yield from _deb822(text)
        else:
            yield from _one_line(text)


def _one_line(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        match = ONE_LINE.match(line.split("#")[0].strip())
        if match and "main" in match[3].split():
            yield match[1].rstrip("/"), match[2]


def _deb822(text: str) -> Iterator[tuple[str, str]]:
    for stanza in re.split(r"\n\s*\n", text):
        fields = _fields(stanza)
        if "main" not in fields.get("components", []) or fields.get("enabled") == ["no"]:
            continue
        for uri in fields.get("uris", []):
            for suite in fields.get("suites", []):
                yield uri.rstrip("/"), suite


def _fields(stanza: str) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            fields.setdefault(name, []).extend(line.split())
            continue
        name, _, value = line.partition(":")
        name = name.strip().lower()
        fields[name] = value.split()
    return fields
