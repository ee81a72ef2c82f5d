"""What a slot holds so that it can be replaced."""

import shutil
import subprocess

import pytest

from conf.load import compose, options_of
from image.refusal import BuildRefused
from image.steps.updates import TOOLS, entries, launcher, read_key
from ota.keys import make_keys

ROOT_KEY = "usr/lib/bedplate/artifact-verify-key.pem"


@pytest.mark.parametrize("hardware", options_of("hardware"))
def test_every_path_is_given_once(hardware):
    paths = [entry.path for entry in entries(compose(hardware=hardware).config, b"key")]
    assert len(paths) == len(set(paths))


def test_key_lies_in_the_slot_and_without_one_there_is_none(tmp_path):
    make_keys(tmp_path / "sign.pem", tmp_path / "verify.pem")
    key = read_key(tmp_path / "verify.pem")
    config = compose(hardware="qemu_arm64").config
    rows = {entry.path: entry for entry in entries(config, key)}
    assert rows[ROOT_KEY].data == key
    assert ROOT_KEY not in {entry.path for entry in entries(config, None)}


def test_private_key_by_mistake_is_refused(tmp_path):
    make_keys(tmp_path / "sign.pem", tmp_path / "verify.pem")
    with pytest.raises(BuildRefused, match="no public key"):
        read_key(tmp_path / "sign.pem")


@pytest.mark.parametrize("word", sorted(TOOLS.values()))
def test_launchers_are_sound_shell(word):
    shell = shutil.which("dash") or "sh"
    assert subprocess.run([shell, "-n"], input=launcher(word).encode(), check=True)


def test_links_of_the_client_lead_to_what_a_boot_writes():
    rows = {entry.path: entry for entry in entries(compose(hardware="qemu_arm64").config, None)}
    assert rows["etc/mender/mender.conf"].target == "/run/bedplate/mender.conf"
    assert rows["etc/mender/artifact_info"].target == "/run/bedplate/artifact_info"


def test_client_asks_whether_a_slot_may_be_written_before_it_downloads_one():
    """Its scripts run only beside a version that it knows: 2 or 3."""
    rows = {entry.path: entry for entry in entries(compose(hardware="qemu_arm64").config, None)}
    script = rows["etc/mender/scripts/Download_Enter_00_bedplate-ready"]
    assert script.mode == 0o755
    assert script.data == b"#!/bin/sh\nexec /usr/bin/bedplate-boot-env ready\n"
    assert rows["etc/mender/scripts/version"].data == b"3\n"
