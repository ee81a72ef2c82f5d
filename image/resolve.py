"""Makes a lock: apt, with lists and status of its own, says what the wanted packages need today."""

import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from image.lockfile import Lock, PackageSet, Row
from image.mirror import Mirrors
from image.packages import SETS, SUITE, Wanted
from image.programs import run
from image.refusal import refused

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
URI_LINE = re.compile(r"^'([^']+)' (\S+)_(\S+)_(\S+)\.deb ")


def resolve(mirrors: Mirrors, work: Path, sets: Mapping[str, Wanted] = SETS) -> Lock:
    """The lock of what the archive holds now; needs the network, not root."""
    found = {name: _resolve_set(wanted, mirrors, work / name) for name, wanted in sets.items()}
    return Lock(suite=SUITE, made_at=datetime.now(UTC).replace(microsecond=0), sets=found)


@dataclass(frozen=True)
class _Apt:
    """apt-get with every folder of its own."""

    work: Path
    options: tuple[str, ...]

    def __call__(self, *words: str, why: str) -> str:
        return run(["apt-get", *self.options, *words], why=why)


def _resolve_set(wanted: Wanted, mirrors: Mirrors, work: Path) -> PackageSet:
    apt = _private_apt(wanted, mirrors, work)
    apt("-qq", "update", why="read what the archive has")
    lists = _lists(apt, mirrors)
    names = [_qualified(name, wanted) for name in wanted.names]
    if wanted.essential:
        names += sorted({name for _, text in lists for name in essential(text)})
    printed = apt("-qq", "-y", "--print-uris", "install", *names, why="find what they need")
    chosen = [_identity(line) for line in printed.splitlines() if line.startswith("'")]
    if wanted.alone:
        chosen = [one for one in chosen if one[0] in wanted.names]
    return PackageSet(
        architecture=wanted.architecture,
        wanted=tuple(sorted(wanted.names)),
        rows=tuple(sorted(_rows(chosen, lists), key=lambda row: row.key)),
    )


def _qualified(name: str, wanted: Wanted) -> str:
    return name if ":" in name else f"{name}:{wanted.architecture}"


def _private_apt(wanted: Wanted, mirrors: Mirrors, work: Path) -> _Apt:
    for folder in ("lists/partial", "cache/archives/partial", "preferences.d"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    (work / "status").touch()
    architectures = ",".join((wanted.architecture, *wanted.foreign))
    signed = f"[arch={architectures} signed-by={KEYRING}]"
    lines = [
        f"deb {signed} {mirrors.debian} {SUITE} main",
        f"deb {signed} {mirrors.debian} {SUITE}-updates main",
        f"deb {signed} {mirrors.security} {SUITE}-security main",
    ]
    (work / "sources.list").write_text("\n".join(lines) + "\n")
    settings = {
        "APT::Architecture": wanted.architecture,
        "APT::Architectures": architectures,
        "APT::Install-Recommends": "false",
        "APT::Get::Assume-Yes": "true",
        "Acquire::GzipIndexes": "false",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Dir::Etc::SourceList": str(work / "sources.list"),
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": str(work / "preferences.d"),
        "Dir::State": str(work),
        "Dir::State::Lists": str(work / "lists"),
        "Dir::State::status": str(work / "status"),
        "Dir::Cache": str(work / "cache"),
        "Dir::Log": str(work / "cache"),
        "Debug::NoLocking": "true",
    }
    options = tuple(word for key, value in settings.items() for word in ("-o", f"{key}={value}"))
    return _Apt(work, options)


Identity = tuple[str, str, str]


def _lists(apt: _Apt, mirrors: Mirrors) -> list[tuple[str, str]]:
    """(which archive, its list of packages) of every list that apt has just read."""
    listed = apt(
        "indextargets", "--format", "$(REPO_URI) $(FILENAME)", "Created-By: Packages", why="lists"
    )
    found: list[tuple[str, str]] = []
    for line in listed.splitlines():
        uri, _, name = line.partition(" ")
        if Path(name).is_file():
            archive = "security" if uri.rstrip("/") == mirrors.security else "debian"
            found.append((archive, Path(name).read_text(encoding="utf-8")))
    return found


def essential(text: str) -> Iterator[str]:
    """Names of the packages that a list calls essential."""
    for block in text.split("\n\n"):
        if "\nEssential: yes" in block:
            yield block.removeprefix("Package: ").partition("\n")[0].strip()


def _identity(line: str) -> Identity:
    match = URI_LINE.match(line)
    if match is None:
        raise refused(
            "apt-get --print-uris", line[:200], "its lines have a form of their own", "report it"
        )
    name, version, architecture = (urllib.parse.unquote(part) for part in match.groups()[1:])
    return name, version, architecture


def _rows(chosen: Sequence[Identity], lists: Sequence[tuple[str, str]]) -> Iterator[Row]:
    wanted = set(chosen)
    names = {name for name, _, _ in wanted}
    for archive, text in lists:
        for block in text.split("\n\n"):
            if block.removeprefix("Package: ").partition("\n")[0].strip() not in names:
                continue
            fields = stanza(block)
            identity = (fields["Package"], fields["Version"], fields["Architecture"])
            if identity in wanted:
                wanted.discard(identity)
                yield _row(archive, fields)
    for name, version, architecture in sorted(wanted):
        raise refused(
            f"{name} {version} {architecture}",
            "a package that no list names",
            "its hash is not known",
            "make lock-image  again; the archive may have changed in between",
        )


def stanza(block: str) -> dict[str, str]:
    """The fields of one package, without their continued lines."""
    fields: dict[str, str] = {}
    for line in block.strip().splitlines():
        if not line[:1].isspace() and ": " in line:
            key, _, value = line.partition(": ")
            fields[key] = value
    return fields


def _row(archive: str, fields: Mapping[str, str]) -> Row:
    return Row(
        name=fields["Package"],
        version=fields["Version"],
        architecture=fields["Architecture"],
        archive=archive,
        path=fields["Filename"],
        size=int(fields["Size"]),
        sha256=fields["SHA256"],
    )
