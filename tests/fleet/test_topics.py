"""The table of topics, and the rules that are made of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.broker import access_rules
from runtime.topics import TOPICS, Party, TopicName, address, parse, pattern, subscription


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_topic_address_is_taken_apart_as_it_was_made(topic) -> None:
    leaf = "cell" if topic.leaf else ""
    where = parse(address(topic.name, "osaka", "osaka-01", leaf))
    assert where is not None
    assert (where.topic, where.site, where.robot_id, where.leaf) == (
        topic,
        "osaka",
        "osaka-01",
        leaf,
    )


@pytest.mark.parametrize("name", ["a/b", "+", "#", "", "osaka 1", "é", "$share", "A"])
def test_name_that_reaches_into_another_branch_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be part of a topic"):
        address(TopicName.FRAMES, "osaka", name)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_none(text: str) -> None:
    where = parse(text)
    assert where is None or parse(address(where.topic.name, where.site, where.robot_id, where.leaf))


@pytest.mark.parametrize(
    "text",
    [
        "bedplate/v1/osaka/osaka-01",
        "bedplate/v1/osaka/osaka-01/frames/x",
        "bedplate/v1/osaka/osaka-01/snapshot",
        "bedplate/v2/osaka/osaka-01/frames",
        "bedplate/v1/osaka/+/frames",
        "bedplate/v1/osaka/osaka-01/orders",
    ],
)
def test_topic_outside_the_table_is_none(text: str) -> None:
    assert parse(text) is None


def test_every_topic_is_in_the_rules_once_for_each_side() -> None:
    rules = access_rules().splitlines()
    for topic in TOPICS:
        for verb, party in (("write", topic.publisher), ("read", topic.subscriber)):
            if party is Party.ROBOT:
                wanted = f"pattern {verb} {pattern(topic, '%u')}"
            else:
                wanted = f"topic {verb} {pattern(topic)}"
            assert rules.count(wanted) == 1


def test_durable_topics_never_expire_and_are_acknowledged() -> None:
    for topic in TOPICS:
        if topic.durable:
            assert topic.expiry_s is None
            assert topic.qos == 1
    assert subscription(TopicName.FRAMES).startswith("$share/ingest/")
