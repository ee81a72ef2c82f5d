"""What happens again and again takes one line; nothing else does, and nothing is lost."""

from hypothesis import given
from hypothesis import strategies as st

from fleet.incidents.fold import FIRST, LAST, Folded, fold
from fleet.incidents.model import BY_ITSELF, Entry, Kind


def entry(at: int, text: str, kind: Kind = Kind.CHANGED) -> Entry:
    return Entry(at, kind, BY_ITSELF, text)


def flapping(times: int) -> list[Entry]:
    return [
        entry(at, f"r-1: mode.{'entered' if at % 2 else 'left'} mode=dim") for at in range(times)
    ]


def test_a_mode_that_flaps_takes_one_line_between_its_first_and_last() -> None:
    made = flapping(40)
    shown = fold(made)
    assert len(shown) == FIRST + 1 + LAST
    middle = shown[FIRST]
    assert isinstance(middle, Folded)
    assert middle.text == "35 more changes: mode.entered 18, mode.left 17"
    assert (*shown[:FIRST], *middle.entries, *shown[-LAST:]) == tuple(made)


def test_a_few_changes_are_all_shown() -> None:
    made = flapping(FIRST + LAST + 2)
    assert fold(made) == made


def test_a_boot_among_many_changes_is_named() -> None:
    made = flapping(40)
    made[20] = entry(20, "r-1: boot.started slot=b")
    assert any("boot.started 1" in one.text for one in fold(made) if isinstance(one, Folded))


def test_a_note_and_a_new_version_are_never_folded() -> None:
    note = entry(1, "r-1: mode.entered, I think", Kind.NOTE)
    version = entry(1, "r-1: from v23 to v24")
    for one in (note, version):
        shown = fold([*flapping(20), one, *flapping(20)])
        assert shown[FIRST + 1 + LAST] == one
        assert sum(isinstance(each, Folded) for each in shown) == 2


texts = st.sampled_from(["r-1: mode.left a=1", "r-1: from a to b", "what I saw", "r-2: boot.done"])


@given(st.lists(st.builds(entry, st.integers(0, 9), texts, st.sampled_from(Kind)), max_size=60))
def test_all_that_happened_is_there_in_its_order(timeline: list[Entry]) -> None:
    found: list[Entry] = []
    for one in fold(timeline):
        found += one.entries if isinstance(one, Folded) else [one]
    assert found == timeline
