"""One approval makes a robot known to the Mender server too, where this fleet has one.

It has one where an operator has logged in for it: the file that
`bedplate ota login URL --user NAME --credentials FLEET/mender.json` writes.
"""

from fleet.enrolment import Enrolments
from fleet.settings import FleetSettings
from ota.mender import MenderError, MenderServer, read_credentials


def announce(settings: FleetSettings, enrolments: Enrolments, robot_id: str) -> str:
    """What came of it, in a few words; a MenderError where it failed. Twice is once."""
    if not settings.mender_credentials.exists():
        return ""
    pem = enrolments.update_key(robot_id)
    if not pem:
        return "it told no key for updates: accept it with  bedplate ota accept"
    known = read_credentials(settings.mender_credentials)
    with MenderServer(known.session()) as server:
        made = server.preauthorize({"robot_id": robot_id}, pem)
    return f"{'preauthorized' if made else 'known already'} at {known.url}"


def failed(robot_id: str, error: MenderError) -> str:
    """The approval holds; only this part is asked again."""
    return (
        f"{robot_id} is certified, but is not known to the Mender server and gets no updates:"
        f" {error}\n  then again:  bedplate fleet enrol approve {robot_id}"
    )
