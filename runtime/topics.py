"""THE table of MQTT topics: who says what to whom, how surely. The broker's rules come from it.

Every robot has a branch of its own, `bedplate/v1/<site>/<robot>/`, and its certificate names that
branch, so that no robot can speak or listen in another's place.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

ROOT = "bedplate/v1"
SHARED_GROUP = "ingest"  # several ingesters take turns on what is shared

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class Party(StrEnum):
    """Who may connect; the value is the name in the certificate, for the fleet's two."""

    ROBOT = "robot"
    INGEST = "ingest"
    FLEET = "fleet"


class TopicName(StrEnum):
    FRAMES = "frames"
    ACK = "ack"
    ACCOUNT = "account"
    PRESENCE = "presence"
    LIVE = "live"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, kw_only=True)
class Topic:
    name: TopicName
    publisher: Party
    subscriber: Party
    qos: int
    retained: bool = False
    durable: bool = False  # from the robot's disk to the fleet's store, acknowledged and resent
    shared: bool = False  # each message goes to one of several subscribers
    leaf: bool = False  # one more level: the name of a camera
    expiry_s: int | None = None  # the broker forgets it after this; never for what is durable
    purpose: str


TOPICS: tuple[Topic, ...] = (
    Topic(
        name=TopicName.FRAMES,
        publisher=Party.ROBOT,
        subscriber=Party.INGEST,
        qos=1,
        durable=True,
        shared=True,
        purpose="records that are on the robot's disk, about a second of them in each message",
    ),
    Topic(
        name=TopicName.ACK,
        publisher=Party.INGEST,
        subscriber=Party.ROBOT,
        qos=1,
        purpose="sequence ranges that the fleet's store has, or has refused for good",
    ),
    Topic(
        name=TopicName.ACCOUNT,
        publisher=Party.ROBOT,
        subscriber=Party.INGEST,
        qos=1,
        shared=True,
        purpose="what the robot has given numbers to and still holds, for the books of losses",
    ),
    Topic(
        name=TopicName.PRESENCE,
        publisher=Party.ROBOT,
        subscriber=Party.FLEET,
        qos=1,
        retained=True,
        purpose="online, offline, or lost (the robot's last will)",
    ),
    Topic(
        name=TopicName.LIVE,
        publisher=Party.ROBOT,
        subscriber=Party.FLEET,
        qos=0,
        expiry_s=5,
        purpose="everything the robot's page shows, four times a second",
    ),
    Topic(
        name=TopicName.SNAPSHOT,
        publisher=Party.ROBOT,
        subscriber=Party.FLEET,
        qos=0,
        leaf=True,
        expiry_s=5,
        purpose="a camera picture with detections drawn, as JPEG",
    ),
)


@dataclass(frozen=True)
class Address:
    """A topic string taken apart."""

    topic: Topic
    site: str
    robot_id: str
    leaf: str = ""


def find_topic(name: TopicName) -> Topic:
    return next(row for row in TOPICS if row.name is name)


def branch(site: str, robot_id: str) -> str:
    """The robot's own part of the tree, and the name in its certificate."""
    for what, value in (("site", site), ("robot", robot_id)):
        if _NAME.fullmatch(value) is None:
            raise ValueError(
                f"{what} {value!r} cannot be part of a topic: it must match {_NAME.pattern},"
                " because +, # and / would reach into other robots' branches; rename it"
            )
    return f"{site}/{robot_id}"


def address(name: TopicName, site: str, robot_id: str, leaf: str = "") -> str:
    topic = find_topic(name)
    if topic.leaf != bool(leaf):
        raise ValueError(f"topic {name}: a leaf is {'needed' if topic.leaf else 'not allowed'}")
    end = f"/{leaf}" if leaf else ""
    return f"{ROOT}/{branch(site, robot_id)}/{name}{end}"


def pattern(topic: Topic, who: str = "+/+") -> str:
    """The topic over all robots, or over one branch."""
    return f"{ROOT}/{who}/{topic.name}{'/+' if topic.leaf else ''}"


def subscription(name: TopicName) -> str:
    """What a subscriber on the fleet's side asks the broker for."""
    topic = find_topic(name)
    share = f"$share/{SHARED_GROUP}/" if topic.shared else ""
    return share + pattern(topic)


def parse(text: str) -> Address | None:
    """None for any string that is not of this table."""
    parts = text.split("/")
    if len(parts) < 5 or "/".join(parts[:2]) != ROOT:
        return None
    site, robot_id, name, leaf = parts[2], parts[3], parts[4], parts[5:]
    if any(_NAME.fullmatch(part) is None for part in (site, robot_id, *leaf)):
        return None
    topic = next((row for row in TOPICS if row.name == name), None)
    if topic is None or len(leaf) != int(topic.leaf):
        return None
    return Address(topic, site, robot_id, leaf[0] if leaf else "")
