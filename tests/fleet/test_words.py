import pytest

from fleet.words import noun, several


@pytest.mark.parametrize(
    ("count", "word", "said"),
    [
        (0, "robot", "0 robots"),
        (1, "robot", "1 robot"),
        (2, "robot", "2 robots"),
        (1200, "record", "1,200 records"),
        (1, "person", "1 person"),
        (3, "person", "3 people"),
        (2, "box", "2 boxes"),
    ],
)
def test_one_thing_is_said_as_one(count: int, word: str, said: str) -> None:
    assert several(count, word) == said


def test_a_length_of_time_may_be_a_part_of_a_day() -> None:
    assert [noun(days, "day") for days in (0.5, 1.0, 14.0)] == ["days", "day", "days"]
