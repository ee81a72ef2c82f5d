"""Runbooks are read as people read them; what could not be followed is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.incidents.runbook import RunbookError, Step, argv_of, parse_runbook, shown

PAGE = """# The motor is hot

One line of why.

1. Look at it,
   from both sides.
2. Ask:

       $ bedplate fleet events --robot ROBOT

   and think.

Afterwards:

    not part of a step
"""


def test_page_is_taken_apart() -> None:
    made = parse_runbook(PAGE)
    assert made.title == "The motor is hot"
    assert made.steps == (
        Step(1, "Look at it, from both sides.", ()),
        Step(2, "Ask: and think.", ("bedplate fleet events --robot ROBOT",)),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# T\n\nno steps", "no numbered step"),
        ("1. do", "no title"),
        ("# T\n1. a\n3. b", "must be step 2"),
        ("# T\n2. a", "must be step 1"),
        ("# T\n1. a\n1. b", "must be step 2"),
        ("", "no title"),
    ],
)
def test_page_that_cannot_be_followed_is_refused(text: str, said: str) -> None:
    with pytest.raises(RunbookError, match=said):
        parse_runbook(text)


@given(st.text(max_size=300) | st.lists(st.sampled_from(PAGE.splitlines())).map("\n".join))
def test_any_text_is_a_runbook_or_is_refused(text: str) -> None:
    try:
        made = parse_runbook(text)
    except RunbookError:
        return
    assert [step.number for step in made.steps] == list(range(1, len(made.steps) + 1))


def test_command_is_made_for_the_robot_it_is_about() -> None:
    command = "bedplate fleet events --robot ROBOT"
    assert argv_of(command, "osaka-02") == ["fleet", "events", "--robot", "osaka-02"]
    assert shown(command, "osaka-02") == "bedplate fleet events --robot osaka-02"
    assert shown(command, None) == command


def test_what_stands_before_the_steps_is_told_too() -> None:
    text = "# It is hot\n\nAbove 70 °C\nit stops.\n\nA fan helps.\n\n1. Look.\n\nThe end.\n"
    assert parse_runbook(text).intro == ("Above 70 °C it stops.", "A fan helps.")
    assert parse_runbook("# It is hot\n1. Look.\n").intro == ()
