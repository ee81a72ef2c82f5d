"""Fragments are understood line by line, and no request is lost in silence."""

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rt_kernel.kconfig import (
    OFF,
    Text,
    find_lost,
    parse_config,
    parse_fragment,
    parse_fragments,
    purpose_of,
    render_request,
)
from rt_kernel.problem import KernelError

FRAGMENTS = Path(__file__).parents[2] / "rt_kernel/fragments"
NAMES = [file.name for file in sorted(FRAGMENTS.glob("*.config"))]


def fragment(*lines: str) -> Text:
    return Text("a.config", "# A purpose of its own.\n\n" + "\n".join(lines) + "\n")


@pytest.mark.parametrize("name", NAMES)
def test_each_fragment_has_a_purpose_and_a_reason_for_every_option(name: str):
    text = Text(name, (FRAGMENTS / name).read_text())
    assert purpose_of(text)
    assert all(len(request.why) > 10 for request in parse_fragment(text))


def test_the_fragments_do_not_contradict_each_other():
    texts = [Text(name, (FRAGMENTS / name).read_text()) for name in NAMES]
    options = {request.option: request.value for request in parse_fragments(texts)}
    assert options["PREEMPT_RT"] == "y"
    assert options["MODULES"] == OFF
    assert options["DM_INIT"] == "y"


def test_an_option_carries_the_comment_it_stands_under():
    found = parse_fragment(
        fragment("# First reason,", "# on two lines.", "CONFIG_A=y", "# CONFIG_B is not set")
    )
    assert [(r.option, r.value, r.why) for r in found] == [
        ("A", "y", "First reason, on two lines."),
        ("B", OFF, "First reason, on two lines."),
    ]
    assert found[0].line == 5


def test_a_new_comment_begins_a_new_reason():
    found = parse_fragment(fragment("# One.", "CONFIG_A=y", "# Two.", "CONFIG_B=y"))
    assert [r.why for r in found] == ["One.", "Two."]


def test_an_option_without_a_reason_is_refused():
    with pytest.raises(KernelError, match=r"a.config:3\n  got CONFIG_A without a reason"):
        parse_fragment(fragment("CONFIG_A=y"))


@pytest.mark.parametrize(
    "line",
    [
        "CONFIG_A=m",
        "CONFIG_A",
        "CONFIG_A = y",
        "A=y",
        "CONFIG_A=n",
        "CONFIG_A=y # why",
        "include x",
    ],
)
def test_a_line_that_kconfig_would_pass_over_is_refused(line: str):
    with pytest.raises(KernelError, match=r"a.config:4"):
        parse_fragment(fragment("# Why.", line))


def test_a_fragment_without_a_purpose_is_refused():
    with pytest.raises(KernelError, match="one purpose"):
        parse_fragment(Text("a.config", "CONFIG_A=y\n"))


def test_two_fragments_that_disagree_are_refused_with_both_places():
    one = Text("one.config", "# The first purpose.\n# Why.\nCONFIG_A=y\n")
    two = Text("two.config", "# The second purpose.\n# Why.\n# CONFIG_A is not set\n")
    with pytest.raises(KernelError, match=r"two.config:3(.|\n)*one.config:3"):
        parse_fragments([one, two])


def test_a_request_that_did_not_survive_is_named():
    requests = parse_fragment(
        fragment("# Why.", "CONFIG_KEPT=y", "CONFIG_BOGUS_DRIVER=y", "CONFIG_N=16")
    )
    lost = find_lost(requests, parse_config("CONFIG_KEPT=y\nCONFIG_N=8\n"))
    assert [(item.request.option, item.found) for item in lost] == [
        ("BOGUS_DRIVER", "absent"),
        ("N", "8"),
    ]
    assert "a.config:5  CONFIG_BOGUS_DRIVER=y\n  came out as absent" in str(lost[0])


def test_an_option_that_came_on_against_the_request_is_named():
    requests = parse_fragment(fragment("# Why.", "# CONFIG_FTRACE is not set"))
    assert find_lost(requests, {}) == ()
    assert find_lost(requests, {"FTRACE": OFF}) == ()
    assert find_lost(requests, {"FTRACE": "y"})[0].found == "y"


OPTIONS = st.text(string.ascii_uppercase + string.digits + "_", min_size=1, max_size=20)
VALUES = st.one_of(st.just("y"), st.just(OFF), st.integers(0, 10**6).map(str), st.just('"a b"'))


@given(st.dictionaries(OPTIONS, VALUES, max_size=20), st.data())
def test_what_is_asked_is_found_again_and_every_loss_is_seen(wanted: dict[str, str], data):
    lines = ["# Why."]
    for option, value in wanted.items():
        lines.append(
            f"# CONFIG_{option} is not set" if value == OFF else f"CONFIG_{option}={value}"
        )
    requests = parse_fragment(fragment(*lines))
    config = parse_config(render_request(requests))
    assert config == wanted
    assert find_lost(requests, config) == ()
    if any(value != OFF for value in wanted.values()):
        gone = data.draw(st.sampled_from([o for o, v in wanted.items() if v != OFF]))
        assert [item.request.option for item in find_lost(requests, config | {gone: OFF})] == [gone]


@given(st.text(max_size=300))
def test_any_text_is_either_understood_or_refused_with_its_place(text: str):
    parse_config(text)
    refusal = ""
    try:
        parse_fragment(Text("any.config", text))
    except KernelError as error:
        refusal = error.where
    assert refusal == "" or refusal.startswith("any.config:")
