"""Locked files come over the network once, and only as they were locked."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from image.cache import Cache
from image.lockfile import Row
from image.mirror import Mirrors
from image.refusal import BuildRefused
from image.steps import fetch as step
from image.steps.fetch import fetch, missing

CONTENT = {"good": b"a package", "altered": b"something else", "cut": b"half"}


class Archive(BaseHTTPRequestHandler):
    """Serves `good`, something else as `altered`, and says `cut` is longer than it is."""

    def do_GET(self):
        name = self.path.rsplit("/", 1)[1].removesuffix(".deb")
        if name not in CONTENT:
            self.send_error(404)
            return
        data = CONTENT[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(data) + (5 if name == "cut" else 0)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def archive():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Archive)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Mirrors(f"http://127.0.0.1:{server.server_port}/debian", "http://127.0.0.1:9/none")
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(step, "ATTEMPTS", 1)


def row(name: str, content: bytes = b"a package", archive: str = "debian") -> Row:
    return Row(
        name=name,
        version="1",
        architecture="arm64",
        archive=archive,
        path=f"pool/main/{name}.deb",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def quiet(text: str) -> None:
    pass


def test_file_is_fetched_once_and_then_no_mirror_is_asked(tmp_path, archive):
    cache = Cache(tmp_path)
    assert fetch([row("good")], lambda: archive, cache, quiet) == 9
    assert cache.file(row("good").sha256).read_bytes() == b"a package"

    def no_mirror() -> Mirrors:
        raise AssertionError("a filled cache needs no network")

    assert fetch([row("good")], no_mirror, cache, quiet) == 0


def test_altered_file_is_refused_and_not_kept(tmp_path, archive):
    cache, wanted = Cache(tmp_path), row("altered")
    with pytest.raises(BuildRefused, match="locked is"):
        fetch([wanted], lambda: archive, cache, quiet)
    assert missing([wanted], cache) == [wanted]
    assert list((tmp_path / "work").iterdir()) == []


def test_superseded_file_says_how_to_lock_anew(tmp_path, archive):
    with pytest.raises(BuildRefused, match="RELOCK=scratch"):
        fetch([row("gone")], lambda: archive, Cache(tmp_path), quiet)


def test_file_that_is_cut_off_is_refused(tmp_path, archive):
    with pytest.raises(BuildRefused, match=r"IncompleteRead|ended after"):
        fetch([row("cut", b"half-and-half")], lambda: archive, Cache(tmp_path), quiet)


def test_everything_that_cannot_be_had_is_named_at_once(tmp_path, archive):
    rows = [row("gone"), row("altered"), row("good"), row("far", archive="security")]
    with pytest.raises(BuildRefused) as refusal:
        fetch(rows, lambda: archive, Cache(tmp_path), quiet)
    assert [one.where.split()[0] for one in refusal.value.problems] == ["altered", "far", "gone"]
