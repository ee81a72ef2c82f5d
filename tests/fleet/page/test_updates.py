from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from fleet.page.updates import update_markup, update_words

UPDATE = {
    "slot": "b",
    "artifact_name": "v24",
    "on_trial": True,
    "attempts": 1,
    "verdict": "waiting",
    "reasons": ["the fleet has not been heard yet"],
    "elapsed_s": 30,
    "timeout_s": 120,
    "findings": [{"item": "gate.latency", "certainty": "wrong", "found": "410 µs"}],
    "switch": None,
    "last_failure": {"artifact_name": "v23", "decided_at": "2026-01-02", "reasons": ["too slow"]},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(UPDATE)), inner)
    ),
    max_leaves=12,
)


class Tags(HTMLParser):
    def __init__(self, markup: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.feed(markup)

    def handle_starttag(self, tag, attrs) -> None:
        self.names.add(tag)


OURS = {"p", "svg", "rect", "ul", "li", "table", "tbody", "tr", "th", "td", "h3"}


def test_trial_says_that_it_is_one_how_far_it_is_and_what_is_wrong():
    said = {key: (text, state) for key, text, state in update_words(UPDATE)}
    assert said["update.slot"][0] == "B, v24"
    assert said["update.trial"] == ("on trial, not committed yet, boot 1 of the trial", "warn")
    assert said["update.verdict"] == ("waiting", "warn")
    markup = update_markup(UPDATE)
    for words in ("30 of at most 120 s", "gate.latency", "410 µs", "Last taken back: v23"):
        assert words in markup


def test_robot_without_slots_says_so_and_is_not_called_committed():
    said = {key: (text, state) for key, text, state in update_words(None)}
    assert "no slots" in said["update.slot"][0]
    assert {state for _text, state in said.values()} == {"quiet"}
    assert update_markup(None) == ""


@given(JSON)
def test_whatever_a_robot_sends_is_shown_as_words(update):
    list(update_words(update))
    assert Tags(update_markup(update)).names <= OURS


@given(st.text())
def test_no_word_of_a_robot_becomes_markup(word):
    hostile = f"<img src=x onerror=alert(1)>{word}"
    update = {**UPDATE, "reasons": [hostile], "artifact_name": hostile}
    update["findings"] = [{"item": hostile, "certainty": hostile, "found": hostile}]
    update["switch"] = {"kind": hostile, "artifact_name": hostile, "verdict": hostile}
    assert Tags(update_markup(update)).names <= OURS
