"""Every locked file into the cache, checked by its hash; with all of them there, no network."""

import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from image.cache import CHUNK_BYTES, Cache, sha256_of_file
from image.lockfile import RELOCK, Row
from image.mirror import Mirrors
from image.refusal import BuildRefused, Problem

PARALLEL = 3  # name servers on small networks gave up at more
ATTEMPTS = 4
TIMEOUT_S = 60


def missing(rows: Iterable[Row], cache: Cache) -> list[Row]:
    return [row for row in rows if not cache.has(row.sha256)]


def fetch(
    rows: Iterable[Row], mirrors: Callable[[], Mirrors], cache: Cache, say: Callable[[str], None]
) -> int:
    """How many bytes had to be fetched; every file that cannot be had is named at once."""
    wanted = sorted(missing(rows, cache), key=lambda row: -row.size)
    if not wanted:
        return 0
    roots = mirrors()
    total = sum(row.size for row in wanted)
    say(f"{len(wanted)} files, {total / 1e6:.0f} MB")
    done = 0
    problems: list[Problem] = []
    with ThreadPoolExecutor(PARALLEL) as pool:
        for row, problem in zip(
            wanted, pool.map(lambda r: _one(r, roots, cache), wanted), strict=True
        ):
            done += row.size
            if problem is not None:
                problems.append(problem)
            say(f"{done / 1e6:.0f} of {total / 1e6:.0f} MB")
    if problems:
        raise BuildRefused(sorted(problems))
    return total


def _one(row: Row, mirrors: Mirrors, cache: Cache) -> Problem | None:
    url = f"{mirrors.root(row.archive)}/{row.path}"
    with cache.workspace("fetch") as work:
        part = work / "file"
        for attempt in range(ATTEMPTS):
            try:
                _download(url, part)
                break
            except urllib.error.HTTPError as error:
                if error.code in (404, 410):
                    return _superseded(row)
                problem = _unreachable(row, f"status {error.code}")
            except (OSError, http.client.HTTPException) as error:
                problem = _unreachable(row, str(error))
            if attempt + 1 == ATTEMPTS:
                return problem
            time.sleep(2**attempt)
        found = sha256_of_file(part)
        if found != row.sha256:
            return _altered(row, found)
        cache.keep(part, row.sha256)
    return None


def _download(url: str, target: Path) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "bedplate"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer, target.open("wb") as out:
        while chunk := answer.read(CHUNK_BYTES):
            out.write(chunk)
        wanted = answer.headers.get("Content-Length")
        if wanted is not None and out.tell() != int(wanted):
            raise OSError(f"ended after {out.tell()} of {wanted} bytes")
        out.flush()
        os.fsync(out.fileno())


def _superseded(row: Row) -> Problem:
    return Problem(
        f"{row.name} {row.version} {row.architecture}",
        f"the archive no longer has {row.path}",
        "the lock names exactly this file; archives drop what a newer version supersedes",
        f"{RELOCK}; RELOCK=scratch make image  builds once with a new lock and leaves this one",
    )


def _altered(row: Row, found: str) -> Problem:
    return Problem(
        f"{row.name} {row.version} {row.architecture}",
        f"a file with sha256 {found[:16]}…, locked is {row.sha256[:16]}…",
        "what is not what was locked never gets into an image",
        "see whether the mirror or a proxy alters files; another mirror by BEDPLATE_MIRROR=URL",
    )


def _unreachable(row: Row, error: str) -> Problem:
    return Problem(
        f"{row.name} {row.version} {row.architecture}",
        error,
        "it is not in the cache yet",
        "see that this machine's apt reaches its mirror: apt-get update",
    )
