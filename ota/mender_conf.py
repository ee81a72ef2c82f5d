"""What the robot's client reads, written at each boot: which partition is which, and its server.

`python -m ota.mender_conf --run-dir R --library L`, as root, before the client. The client compares
the mounted root with RootfsPartA and B, and takes a partition's number from the digits at the end:
the running slot is therefore its verified device (dm-2 or dm-3), the other one its partition.
The standard library only: this waits on the way to every boot.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

NUMBER_OF: Final[Mapping[str, int]] = {"a": 2, "b": 3}
KEY: Final = "/usr/lib/bedplate/artifact-verify-key.pem"
SITE_CA: Final = "/data/bedplate/pki/ca.crt"
INVITATION: Final = "/data/bedplate/enrolment.json"
# Made at enrolment (runtime/enrol.py), and what an approval preauthorizes at the server.
UPDATE_KEY: Final = "/data/bedplate/pki/mender.key"
CERTIFICATE: Final = "/data/bedplate/pki/robot.crt"  # written last: whoever finds it finds all
PARTITION: Final = re.compile(r"(?P<disk>[a-z]+|[a-z]+[0-9]+(?:n[0-9]+)?p)(?P<number>[0-9]+)")
FILES: Final = ("mender.conf", "device_type", "artifact_info")
MANAGED: Final = "mender-managed"
RETRY_INTERVAL_S: Final = 5
SLACK_S: Final = 120


class MenderConfError(ValueError):
    """The client is not started; the text says why."""


@dataclass(frozen=True)
class Facts:
    """`partition` carries the running slot, as the kernel names it: vda2, nvme0n1p3. `invited`: the
    client's key is the one that enrolment has made, or will make."""

    slot: str
    partition: str
    site_ca: bool
    invited: bool = False


def partitions(facts: Facts) -> tuple[str, str]:
    """RootfsPartA and RootfsPartB."""
    found = PARTITION.fullmatch(facts.partition)
    number = NUMBER_OF.get(facts.slot)
    if found is None or number is None or int(found["number"]) != number:
        raise MenderConfError(
            f"slot {facts.slot!r} runs from {facts.partition!r}, must be a on 2 or b on 3:"
            " an update would be written to a place that nobody chose; the client is not started"
        )
    paths = {name: f"/dev/{found['disk']}{each}" for name, each in NUMBER_OF.items()}
    paths[facts.slot] = f"/dev/dm-{number}"
    return paths["a"], paths["b"]


def mender_conf(profile: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """The client's settings. Without a server it only ever installs from files."""
    gate, mender = profile["ota"]["gate"], profile["ota"]["mender"]
    slow = profile["hardware"]["actuation"].get("slow_motion", 1)
    part_a, part_b = partitions(facts)
    settings: dict[str, Any] = {
        "ArtifactVerifyKey": KEY,
        "RootfsPartA": part_a,
        "RootfsPartB": part_b,
        "DeviceTypeFile": "/run/bedplate/device_type",
        "UpdatePollIntervalSeconds": mender["update_poll_s"],
        "InventoryPollIntervalSeconds": mender["inventory_poll_s"],
        "RetryPollIntervalSeconds": mender["retry_poll_s"],
        "StateScriptTimeoutSeconds": SLACK_S,
        "StateScriptRetryIntervalSeconds": RETRY_INTERVAL_S,
        # The gate's own deadline comes first, so that its reasons are the ones that are told.
        "StateScriptRetryTimeoutSeconds": gate["timeout_s"] + SLACK_S,
        "ModuleTimeoutSeconds": gate["switch_timeout_s"] * slow + 10 * SLACK_S,
    }
    if mender["server_url"]:
        settings["ServerURL"] = mender["server_url"]
        if facts.site_ca:
            settings["ServerCertificate"] = SITE_CA
        if facts.invited:
            settings["Security"] = {"AuthPrivateKey": UPDATE_KEY}
    return settings


def files(profile: Mapping[str, Any], manifest: Mapping[str, Any], facts: Facts) -> dict[str, str]:
    """File name → text, in the run folder; /etc/mender links to the first and last of FILES."""
    settings = mender_conf(profile, facts)
    texts = (
        json.dumps(settings, indent=1, sort_keys=True),
        f"device_type={profile['hardware']['name']}",
        f"artifact_name={manifest['artifact_name']}",
    )
    found = {name: f"{text}\n" for name, text in zip(FILES, texts, strict=True)}
    return found | ({MANAGED: "\n"} if "ServerURL" in settings else {})


def running_partition(slot: str, system: Path = Path("/sys")) -> str:
    """Below the verified device of the slot that runs."""
    folder = system / f"block/dm-{NUMBER_OF.get(slot, 0)}/slaves"
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if len(found) != 1:
        raise MenderConfError(
            f"{folder}: got {', '.join(found) or 'nothing'}, must be the one partition of the"
            " running slot; the client is not started"
        )
    return found[0]


def slot_of(command_line: str) -> str:
    words = [word.partition("=") for word in command_line.split()]
    slots = [value for key, _, value in words if key == "bedplate.slot"]
    return slots[-1] if slots else ""


def is_invited(root: Path = Path("/")) -> bool:
    """Not where enrolment is over and made no key for the client, as an older system did.
    Its client then makes a key of its own and asks its server, where somebody must accept it."""
    invitation, certificate, key = (
        root / name.lstrip("/") for name in (INVITATION, CERTIFICATE, UPDATE_KEY)
    )
    if not invitation.is_file():
        return False
    if certificate.is_file() and not key.is_file():
        sys.stderr.write(
            f"mender_conf: {UPDATE_KEY} is missing, and this robot is enrolled already: the client"
            " asks its server with a key of its own; let it in there: bedplate ota accept ROBOT\n"
        )
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(prog="mender_conf", description="Settings of the client")
    parser.add_argument("--run-dir", type=Path, default=Path("/run/bedplate"))
    parser.add_argument("--library", type=Path, default=Path("/usr/lib/bedplate"))
    args = parser.parse_args()
    try:
        slot = slot_of(Path("/proc/cmdline").read_text(encoding="utf-8"))
        facts = Facts(slot, running_partition(slot), Path(SITE_CA).is_file(), is_invited())
        profile = json.loads((args.run_dir / "profile.json").read_text(encoding="utf-8"))
        manifest = json.loads((args.library / "manifest.json").read_text(encoding="utf-8"))
        texts = files(profile, manifest, facts)
    except (MenderConfError, OSError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"mender_conf: {error}\n")
        sys.exit(1)
    (args.run_dir / MANAGED).unlink(missing_ok=True)
    for name, text in texts.items():
        part = args.run_dir / f"{name}.part"
        part.write_text(text, encoding="utf-8")
        part.replace(args.run_dir / name)


if __name__ == "__main__":
    main()
