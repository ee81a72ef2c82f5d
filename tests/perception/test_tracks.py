"""Tracks: carried forward for a while, then gone; made by those who may."""

from dataclasses import replace

import numpy as np
import pytest

from runtime.perception.detection import Detection
from runtime.perception.level import Level
from runtime.perception.tracks import Tracker, TrackRule

MS = 1_000_000
RULE = TrackRule(
    carry_ns=200 * MS,
    new_score={Level.FAST: 0.6, Level.REFINED: 0.5, Level.FULL: 0.4},
    keep_score={Level.FAST: 0.4, Level.REFINED: 0.3, Level.FULL: 0.3},
)


def person(x: float, y: float = 0.0, score: float = 0.9) -> Detection:
    return Detection(score, (10, 10, 20, 40), np.array([x, y, 0.2]), 2.0, 0.1, measured=True)


@pytest.fixture
def tracker() -> Tracker:
    return Tracker(RULE)


def test_result_is_carried_forward_and_then_forgotten(tracker: Tracker) -> None:
    tracker.observe(Level.FULL, 0, [person(2.0)], may_begin=True)
    (track,) = tracker.alive(200 * MS)
    assert track.seen_ns == 0  # its age is told, not hidden
    assert tracker.alive(201 * MS) == []


def test_level_1_keeps_a_track_alive_but_does_not_make_one(tracker: Tracker) -> None:
    assert len(tracker.observe(Level.FAST, 0, [person(2.0)], may_begin=False)) == 1
    assert tracker.alive(0) == []
    tracker.observe(Level.FULL, 0, [person(2.0)], may_begin=True)
    for frame in range(1, 30):
        tracker.observe(Level.FAST, frame * 33 * MS, [person(2.0, score=0.45)], may_begin=False)
    assert len(tracker.alive(29 * 33 * MS)) == 1


def test_walker_keeps_one_number_and_gets_a_speed(tracker: Tracker) -> None:
    for frame in range(60):
        now_ns = frame * 33 * MS
        tracker.observe(Level.FULL, now_ns, [person(4.0 - 1.2 * now_ns / 1e9)], may_begin=True)
    (track,) = tracker.alive(59 * 33 * MS)
    assert track.id == 1
    assert track.speed_m_s == pytest.approx(1.2, abs=0.2)


def test_two_people_stay_two(tracker: Tracker) -> None:
    for frame in range(20):
        shift = 0.03 * frame
        seen = [person(2.0, -1.0 + shift), person(2.0, 1.0 - shift)]
        tracker.observe(Level.FULL, frame * 33 * MS, seen, may_begin=True)
    tracks = {track.id: track.position_m[1] for track in tracker.alive(19 * 33 * MS)}
    assert tracks.keys() == {1, 2}


def test_late_word_of_level_3_does_not_move_a_track_back(tracker: Tracker) -> None:
    tracker.observe(Level.FULL, 0, [person(2.0)], may_begin=True)
    for frame in range(1, 5):
        position = [person(2.0 + 0.05 * frame)]
        tracker.observe(Level.FAST, frame * 33 * MS, position, may_begin=False)
    before = tracker.tracks[0]
    tracker.observe(Level.FULL, 33 * MS, [person(2.05)], may_begin=True)
    (after,) = tracker.tracks
    assert np.array_equal(after.position_m, before.position_m)
    assert after.seen_ns == before.seen_ns


def test_weak_sighting_begins_a_track_only_where_depth_has_changed_too() -> None:
    rule = replace(RULE, changed_score={Level.REFINED: 0.3, Level.FULL: 0.2})
    weak = [person(2.0, score=0.25)]
    for changed, level, begins in (
        (True, Level.FULL, True),
        (False, Level.FULL, False),
        (True, Level.REFINED, False),
    ):
        tracker = Tracker(rule)
        tracker.observe(level, 0, weak, may_begin=True, changed=lambda _, yes=changed: yes)
        assert bool(tracker.alive(0)) == begins
    tracker = Tracker(rule)
    tracker.observe(Level.FULL, 0, weak, may_begin=True)  # the cue cannot tell
    assert tracker.alive(0) == []
    tracker = Tracker(RULE)  # no such rule
    tracker.observe(Level.FULL, 0, weak, may_begin=True, changed=lambda _: True)
    assert tracker.alive(0) == []


def test_depth_keeps_a_track_for_a_while_and_follows_it(tracker: Tracker) -> None:
    tracker.observe(Level.FULL, 0, [person(2.0)], may_begin=True)
    limit = RULE.depth_keep_ns // MS // 33
    for frame in range(1, limit + 20):
        there = np.array([2.0, 0.02 * frame, 0.2])
        tracker.keep_by_depth(frame * 33 * MS, lambda track, _, at=there: (at, track.box_px))
        if frame == limit:
            (track,) = tracker.alive(frame * 33 * MS)
            assert track.position_m[1] == pytest.approx(0.02 * limit, abs=0.15)
            assert track.named_ns == 0  # no network has spoken since
    assert tracker.alive((limit + 19) * 33 * MS) == []


def test_depth_that_shows_nothing_keeps_nobody(tracker: Tracker) -> None:
    tracker.observe(Level.FULL, 0, [person(2.0)], may_begin=True)
    for frame in range(1, 8):
        tracker.keep_by_depth(frame * 33 * MS, lambda *_: None)
    assert tracker.alive(7 * 33 * MS) == []


def test_what_full_looks_do_not_see_ends_though_level_1_goes_on(tracker: Tracker) -> None:
    tracker.observe(Level.FULL, 0, [person(2.0)], may_begin=True)
    for frame in range(1, 4):
        tracker.observe(Level.FAST, frame * 100 * MS, [person(2.0)], may_begin=False)
        tracker.observe(Level.FULL, frame * 100 * MS, [], may_begin=True)
    assert tracker.alive(300 * MS) == []
