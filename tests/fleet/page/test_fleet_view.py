"""The fleet's page as texts: what it counts, what it does not know, what it must not become."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.schema.alerts import Severity
from fleet.metrics import Day, FailureMode, FleetNow, Latency, Percentiles, Tally, Uptime
from fleet.numbers import Known
from fleet.page.fleet_view import (
    ROWS,
    Asked,
    asked_of,
    columns,
    fleet_view,
    grouped,
    row,
    rows_view,
)
from fleet.page.trends import Trend, trend
from fleet.page.view import View
from fleet.picture import Alarm, Attention, cycle_time, line_of, picture
from fleet.robot import Robot
from fleet.roster import Duty, SortKey, Wanted
from fleet.settings import Targets
from tests.fleet.fleet_of import live_of, name_of, site_of

NS_PER_S = 1_000_000_000
NOW_S = 1_800_000_000.0


def fleet(robots: int, alarms: dict[int, Alarm] | None = None):
    together = []
    for number in range(robots):
        robot = Robot(site_of(number), name_of(number), 2 * NS_PER_S, 15 * NS_PER_S, 0)
        robot.live, robot.live_ns = live_of(number, 0), 0
        robot.live_wall_ns = round(NOW_S * NS_PER_S)
        mine = (alarms or {}).get(number)
        found = [] if mine is None else [mine]
        together.append((robot, found, line_of(robot, found, 1, in_maintenance=False)))
    return picture(together, 1)


def alarm(name: str = "a.stopped", severity: Severity = Severity.CRITICAL) -> Alarm:
    return Alarm(name, severity, "It stands.", "docs/runbooks/stop_entered.md", NOW_S - 300)


def known(done: int = 90, failed: int = 10) -> Known:
    three = Percentiles(10, 100.0, 240.0, 300.0)
    tally = Tally(done, failed, done + failed, failed, 1000 * (done + failed))
    now = FleetNow(
        now_ns=0,
        window_s=3600,
        robots=3,
        tally=tally,
        throughput_per_min=1.7,
        latencies=dict.fromkeys(Latency, three),
        failure_modes=(FailureMode("pick_place", "gripper_slip", 6),),
        versions=(),
        uptime=Uptime(999, 1000),
    )
    days = tuple(Day(86_400 * n, Tally(n, 1), three) for n in range(7))
    return Known(now, days)


def shown(picture_, numbers: Known) -> View:
    return fleet_view(picture_, numbers, Targets(), NOW_S)


def test_tiles_say_what_the_store_has():
    view = shown(fleet(30), known())
    assert view.text["success"] == "90.0 %"
    assert view.state["success"] == "good"
    assert "target 90 %" in view.text["success.why"]
    assert "95 % between" in view.text["success.why"]
    assert view.text["uptime"] == "99.9 %"
    assert "gripper slip" in view.markup["failures"]
    assert "everything else" in view.markup["failures"]
    assert "240.0 ms" in view.markup["latency"]


@pytest.mark.parametrize(
    ("done", "failed", "state"), [(89, 11, "warn"), (70, 30, "bad"), (95, 5, "good")]
)
def test_missing_the_target_shows(done, failed, state):
    assert shown(fleet(1), known(done, failed)).state["success"] == state


def test_nothing_short_of_all_is_a_hundred():
    assert shown(fleet(1), known(99_999, 1)).text["success"] == "99.9 %"


def test_what_is_not_known_is_neither_zero_nor_well():
    view = shown(fleet(3), Known(why="away"))
    assert view.text["success"] == "not known yet"
    assert view.state["success"] == "quiet"
    nothing = shown(fleet(0), known(0, 0))
    assert nothing.text["success"] == "–"
    assert nothing.text["n.healthy.share"] == "–"


def test_counts_are_those_of_the_list():
    made = fleet(100)
    view = shown(made, known())
    assert view.text["n.robots"] == "100 robots"
    assert shown(fleet(1), known()).text["n.robots"] == "1 robot"
    assert sum(int(view.text[f"n.{duty.value}"]) for duty in Duty) == 100
    assert int(view.text["n.stopped"]) == sum(n % 17 == 5 for n in range(100))


def test_equal_alerts_of_many_robots_are_one_line_and_the_worst_comes_first():
    alarms = {n: alarm() for n in range(40)}
    alarms[50] = alarm("b.warm", Severity.WARNING)
    view = shown(fleet(60, alarms), known())
    assert view.markup["attention"].count("<li") == 2
    assert "and 39 other robots" in view.markup["attention"]
    assert view.markup["attention"].index("critical") < view.markup["attention"].index("warning")
    assert '/runbooks/stop_entered"' in view.markup["attention"]


def test_alerts_of_the_fleet_are_not_one_with_those_of_robots():
    both = [Attention("fleet", "", alarm()), Attention("robot-1", "osaka", alarm())]
    assert len(grouped(both)) == 2


@given(st.integers(0, 130), st.integers(-3, 9))
def test_pages_of_the_list_hold_every_robot_once(robots, page):
    made, seen = fleet(robots), []
    for number in range(1, 5):
        view = rows_view(made, Asked(Wanted(), number), NOW_S)
        names = view.text["rows"].split()
        assert len(names) <= ROWS
        if number <= max(1, -(-robots // ROWS)):
            seen += names
        assert all(f"row.{name}" in view.markup for name in names)
    assert sorted(seen) == [name_of(number) for number in range(robots)]


def test_a_robot_that_says_nothing_new_is_not_sent_again():
    before, after = (rows_view(fleet(60), Asked(Wanted()), NOW_S + s) for s in (0, 0.9))
    changes = after.changes(before)
    assert changes == {"text": {}, "state": {}, "markup": {}}


def test_only_the_robot_that_changed_is_sent():
    made = fleet(60)
    lines = list(made.lines)
    lines[7] = replace(lines[7], done=10_000)
    changed = rows_view(replace(made, lines=tuple(lines)), Asked(Wanted()), NOW_S)
    changes = changed.changes(rows_view(made, Asked(Wanted()), NOW_S))
    assert list(changes["markup"]) == [f"row.{name_of(7)}"]
    assert changes["text"] == {}


@given(
    st.dictionaries(
        st.sampled_from(["q", "duty", "unwell", "version", "sort", "down", "page"]), st.text()
    )
)
def test_no_address_breaks_the_page_and_a_link_asks_the_same_again(query):
    from urllib.parse import parse_qsl, urlsplit

    asked = asked_of(query)
    again = asked_of(dict(parse_qsl(urlsplit(asked.link()).query)))
    assert again == asked
    rows_view(fleet(3), asked, NOW_S)


def test_headings_sort_one_way_then_the_other():
    once = next(c for c in columns(Asked(Wanted())) if c.words == "Failed")
    assert once.link == "/fleet?sort=failed&down=1"
    now = columns(Asked(Wanted(sort=SortKey.FAILED, descending=True), 3))
    again = next(c for c in now if c.words == "Failed")
    assert (again.link, again.sorted) == ("/fleet?sort=failed", "descending")


class Tags(HTMLParser):
    def __init__(self, markup: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.feed(markup)

    def handle_starttag(self, tag, attrs) -> None:
        self.names |= {tag, *(name for name, _value in attrs if name.startswith("on"))}


@given(st.text())
def test_no_word_of_a_robot_becomes_markup(word):
    hostile = f'"><img src=x onerror=alert(1)>{word}'
    made = fleet(1)
    line = replace(
        made.lines[0],
        robot_id=hostile,
        site=hostile,
        artifact=hostile,
        modes=(hostile,),
        phase=hostile,
    )
    assert Tags(row(line, NOW_S)).names <= {"td", "a", "span", "code"}
    odd = replace(made, attention=(Attention(hostile, hostile, replace(alarm(), summary=hostile)),))
    named = replace(made.versions[0], artifact=hostile, profile=hostile, model=hostile)
    view = shown(replace(odd, versions=(named,)), known())
    assert Tags(view.markup["attention"]).names <= {"ul", "li", "a", "b", "span", "small"}
    ours = {"tr", "th", "td", "a", "code", "svg", "rect"}
    assert Tags(view.markup["versions"]).names <= ours


@given(st.lists(st.none() | st.floats(0, 1e6), min_size=1, max_size=9))
def test_trend_draws_a_dot_for_each_day_that_is_known_and_a_gap_for_each_that_is_not(values):
    drawn = trend(Trend("Success", values, "%", 1), [str(n) for n in range(len(values))])
    assert drawn.count('class="day"') == sum(value is not None for value in values)
    assert "nan" not in drawn


@given(st.lists(st.lists(st.tuples(st.sampled_from([8.0, 16.0, 32.0, None]), st.integers(0, 50)))))
def test_cycle_times_of_all_robots_are_those_of_all_cycles_together(histograms):
    lives = [
        {"control": {"latency": {"cycle": {"bins": [[u, n] for u, n in bins]}}}}
        for bins in histograms
    ]
    found = cycle_time(lives)
    every = sorted(
        float("inf") if upper is None else upper
        for bins in histograms
        for upper, times in bins
        for _ in range(times)
    )
    if not every:
        assert found is None
        return
    assert found is not None
    assert found.cycles == len(every)
    assert found.p50_us == every[-(-len(every) // 2) - 1]
    assert found.p50_us <= found.p95_us <= found.p99_us
