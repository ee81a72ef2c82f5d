"""Debian's client with the update modules on a robot that has trouble of its own."""

from pathlib import Path

import pytest

from ota.artifact import write_artifact
from ota.keys import make_keys, read_private
from ota.payloads import profile, seed, slot_provides
from tests.ota.robot.bench import Client, make_client, make_robot, need_client, tighter_config

pytestmark = pytest.mark.timeout(200)
# The robot's data and the client's own folder on a disk of one MiB with nothing left; what lies
# there in the end is printed, for it goes with the namespace.
FULL = """set -e
data=$1 state=$2 file=$3 conf=$4
cp -a "$data" "$data.held"; cp -a "$state" "$state.held"
mount -t tmpfs -o size=1m none "$data"; cp -a "$data.held/." "$data"
mkdir "$data/.client"; cp -a "$state.held/." "$data/.client"
mount --bind "$data/.client" "$state"
head -c 4M /dev/zero >"$data/filler" 2>/dev/null || true
mender --no-syslog --config "$conf" --fallback-config /nowhere --data "$state" install "$file" \\
  && echo INSTALLED || echo REFUSED
cd "$data"; find . -path ./.client -prune -o -type f -print
rm filler
mender --no-syslog --config "$conf" --fallback-config /nowhere --data "$state" install "$file" \\
  && echo INSTALLED || echo REFUSED
"""


@pytest.fixture
def client(tmp_path: Path) -> Client:
    need_client()
    robot = make_robot(tmp_path)
    make_keys(tmp_path / "s.pem", tmp_path / "v.pem")
    made = make_client(robot, tmp_path / "v.pem")
    provides = slot_provides("flashed", "a" * 64, "b" * 64)
    told = seed("flashed", "qemu_arm64", provides)
    file = write_artifact(told, read_private(tmp_path / "s.pem"), tmp_path / "seed.mender").path
    assert made("install", str(file)).returncode == 0
    return made


def test_a_profile_meets_a_full_disk(client: Client) -> None:
    """Refused, nothing of it left behind; and with room again it is installed."""
    robot, home = client.robot, client.robot.home
    key = read_private(home / "s.pem")
    file = write_artifact(profile(tighter_config(), "careful-1"), key, home / "a.mender").path
    words = [robot.paths.data, client.home / "state", file, client.home / "mender.conf"]
    done = client.raw("sh", "-c", FULL, "sh", *map(str, words))
    print(done.stdout, done.stderr)
    said = [line for line in done.stdout.splitlines() if line in ("REFUSED", "INSTALLED")]
    assert said == ["REFUSED", "INSTALLED"]
    assert "no space left on device" in done.stderr
    left = [line for line in done.stdout.splitlines() if line.startswith("./")]
    assert left == ["./filler"]
