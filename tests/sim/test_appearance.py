"""What networks train on and what they are judged on share no value."""

from dataclasses import fields

import numpy as np
import pytest

from sim.appearance import RANGES, Style, draw, draw_person


@pytest.mark.parametrize("name", [entry.name for entry in fields(RANGES[Style.TRAIN])])
def test_ranges_of_the_two_styles_are_disjoint(name: str) -> None:
    train, held_out = (getattr(RANGES[style], name) for style in (Style.TRAIN, Style.HELD_OUT))
    for low, high in train:
        for other_low, other_high in held_out:
            assert high < other_low or other_high < low


@pytest.mark.parametrize("style", list(Style))
def test_draw_stays_inside_the_intervals_and_reaches_all_of_them(style: Style) -> None:
    rng = np.random.default_rng(1)
    intervals = RANGES[style].height_m
    drawn = [draw(rng, intervals) for _ in range(300)]
    hits = [sum(low <= value <= high for value in drawn) for low, high in intervals]
    assert sum(hits) == len(drawn)
    assert all(hits)


def test_people_of_one_seed_look_the_same_and_of_another_do_not() -> None:
    first, again, other = (
        draw_person(np.random.default_rng(seed), Style.TRAIN) for seed in (5, 5, 6)
    )
    assert first == again
    assert first != other
