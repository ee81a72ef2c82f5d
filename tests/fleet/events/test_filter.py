"""The language of expressions: what it means, where it stops, and that nothing breaks it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.events.filter import DEPTH_MAX, TEXT_MAX, FilterError, parse_filter

EVENT = {
    "name": "action.failed",
    "latency_ms": 240.0,
    "reason": "gripper_slip",
    "fallback": False,
    "task_id": 5235.0,
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("latency_ms > 200", True),
        ("latency_ms>200", True),
        ("latency_ms <= 200", False),
        ("latency_ms = 240", True),
        ("latency_ms == 2.4e2", True),
        ("latency_ms != 240", False),
        ("reason ~ SLIP", True),
        ('reason = "gripper_slip"', True),
        ("reason ~ slip and latency_ms > 300", False),
        ("reason ~ slip or latency_ms > 300", True),
        ("not reason ~ slip", False),
        ("not (latency_ms < 100 or fallback = true)", True),
        ("fallback = false", True),
        ("task_id = 5235 and name = action.failed", True),
        ("latency_ms > 100 and latency_ms < 300 or nothing = 1", True),
    ],
)
def test_expression_means_what_it_says(text: str, holds: bool) -> None:
    assert parse_filter(text).holds(EVENT) is holds


@pytest.mark.parametrize(
    "text",
    ["missing > 1", "not missing > 1", "missing = 0", "latency_ms = slow", "reason > 5",
     "not reason > 5", "latency_ms ~ 2", "fallback = 0", "missing = 1 and latency_ms > 0"],
)  # fmt: skip
def test_what_is_not_there_is_neither_so_nor_not_so(text: str) -> None:
    assert parse_filter(text).holds(EVENT) is None


@pytest.mark.parametrize(
    ("text", "at"),
    [("", 1), ("latency_ms", 11), ("latency_ms >", 13), ("> 200", 1), ("a = 1 b = 2", 7),
     ("(a = 1", 7), ("a = 1)", 6), ("a = 1 and", 10), ("not", 4), ("and = 1", 1), ("a = (", 5),
     ('a = "b', 5), ("1a = 2", 1), ("__class__ = 1", 1)],
)  # fmt: skip
def test_mistake_is_pointed_at(text: str, at: int) -> None:
    with pytest.raises(FilterError, match=rf"at character {at}: .* expected") as caught:
        parse_filter(text)
    assert "for example" in str(caught.value)


def test_depth_and_length_have_an_end() -> None:
    assert parse_filter("(" * (DEPTH_MAX - 1) + "a = 1" + ")" * (DEPTH_MAX - 1)).holds({"a": 1.0})
    with pytest.raises(FilterError, match="inside each other"):
        parse_filter("(" * 400 + "a = 1")
    with pytest.raises(FilterError, match="characters"):
        parse_filter("a" * (TEXT_MAX + 1))


PIECES = st.sampled_from(
    ["a", "=", "!=", "~", ">", "(", ")", "and", "or", "not", "1", "-1e3", '"x', '"', "\\", " ",
     "true", "é", "\x00", "%", "';--", "latency_ms"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=25).map(" ".join)))
def test_any_text_is_an_expression_or_a_mistake_in_words(text: str) -> None:
    try:
        made = parse_filter(text)
    except FilterError:
        return
    assert made.holds(EVENT) in (True, False, None)
    assert made.holds({}) is not True
