"""What would not outlive an update is found at build time."""

import pytest

from image.persistence import EXEMPT, check, stray, survives, written_paths
from image.refusal import BuildRefused


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/data/bedplate/spool.sqlite", True),
        ("/var/lib/systemd/timesync/clock", True),
        ("/home/operator", True),
        ("/run/bedplate", False),
        ("/dev/shm/bedplate", False),
        ("/etc/ssh/ssh_host_key", None),
        ("/database", None),
        ("/opt/bedplate/cache", None),
    ],
)
def test_places_are_told_apart(path, kept):
    assert survives(path) is kept


@pytest.mark.parametrize(
    ("name", "text", "path"),
    [
        ("a.service", "[Service]\nReadWritePaths=/run /opt/state\n", "/opt/state"),
        ("a.service", "[Service]\nConfigurationDirectory=thing\n", "/etc/thing"),
        ("usr/lib/tmpfiles.d/a.conf", "d /srv/thing 0755 root root -\n", "/srv/thing"),
        ("usr/lib/tmpfiles.d/a.conf", "f+! /etc/thing - - - -\n", "/etc/thing"),
        ("etc/ssh/sshd_config.d/a.conf", "HostKey /etc/ssh/key\n", "/etc/ssh/key"),
    ],
)
def test_path_written_on_the_slot_is_named_with_its_writer(name, text, path):
    assert path in written_paths({name: text})
    with pytest.raises(BuildRefused) as refusal:
        check({name: text}, exempt=())
    assert str(refusal.value).startswith(path)
    assert name in str(refusal.value)


def test_directories_of_units_are_on_data_or_in_memory():
    check(
        {
            "a.service": "[Service]\nStateDirectory=a\nRuntimeDirectory=b\nPIDFile=/run/c\n"
            "ReadWritePaths=/data/bedplate -/run/x\n"
        }
    )


def test_tmpfiles_line_that_removes_or_sets_rights_writes_nothing_new():
    assert written_paths({"usr/lib/tmpfiles.d/a.conf": "z /etc/x 0644\nr /etc/y\n"}) == {}


def test_exemption_has_a_reason_and_covers_what_is_below_it():
    assert all(row.reason for row in EXEMPT)
    check({"usr/lib/tmpfiles.d/a.conf": f"d {EXEMPT[0].path}/x\n"})


def test_what_packages_leave_in_var_must_be_spoken_of():
    assert stray(["var/lib/newcomer/state", "var/cache/x", "etc/x", "var/lib"]) == [
        "var/lib/newcomer/state"
    ]
