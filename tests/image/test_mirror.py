"""Where Debian's files come from: the machine's apt settings, in both of their formats."""

import pytest

from image.mirror import find_mirrors
from image.refusal import BuildRefused

ONE_LINE = """# deb http://old.example/debian bookworm main
deb [arch=amd64 signed-by=/x] http://a.example/debian/ bookworm main contrib
deb http://a.example/debian-security bookworm-security main
deb https://apps.example/apt stable-apps main
"""
DEB822 = """Types: deb
# a comment
URIs: http://b.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://b.example/sec
Suites: bookworm-security
Components: main
"""


def apt(tmp_path, **files):
    (tmp_path / "sources.list.d").mkdir()
    for name, text in files.items():
        folder = tmp_path if name == "list" else tmp_path / "sources.list.d"
        (folder / {"list": "sources.list", "deb822": "debian.sources"}[name]).write_text(text)
    return tmp_path


def test_one_line_sources_are_read(tmp_path):
    found = find_mirrors(apt(tmp_path, list=ONE_LINE), setting="")
    assert found.debian == "http://a.example/debian"
    assert found.security == "http://a.example/debian-security"


def test_deb822_sources_are_read(tmp_path):
    found = find_mirrors(apt(tmp_path, deb822=DEB822), setting="")
    assert (found.debian, found.security) == ("http://b.example/debian", "http://b.example/sec")
    assert found.root("security") == "http://b.example/sec"


def test_disabled_source_is_not_used(tmp_path):
    with pytest.raises(BuildRefused, match="no Debian archive"):
        find_mirrors(apt(tmp_path, deb822="Enabled: no\n" + DEB822.split("\n\n")[0]), setting="")


def test_one_setting_replaces_both(tmp_path):
    found = find_mirrors(tmp_path, setting="http://m.example/debian")
    assert found.security == "http://m.example/debian-security"
    two = find_mirrors(tmp_path, setting="http://m.example/d, http://m.example/s/")
    assert (two.debian, two.security) == ("http://m.example/d", "http://m.example/s")
