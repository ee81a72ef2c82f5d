"""Scenarios are read strictly, and played as they say."""

import numpy as np
import pytest
import yaml

from conf.schema import Config
from runtime.paths import Paths
from sim.director import ENTRANCE_M, Director
from sim.faults import Component, FaultBoard, Kind, Venue
from sim.scenario import (
    SCENARIO_FOLDER,
    Scenario,
    ScenarioError,
    load_scenario,
    parse_scenario,
    scenario_names,
    scenario_of_run,
    scene_of,
    write_scenario,
)
from sim.scene import Scene
from sim.score import PartState


@pytest.mark.parametrize("name", scenario_names())
def test_every_scenario_loads_under_its_own_name(name: str) -> None:
    assert load_scenario(name).name == name


def test_faults_keep_the_word_off_that_yaml_would_read_as_no() -> None:
    raw = yaml.safe_load((SCENARIO_FOLDER / "bad_day.yaml").read_text(encoding="utf-8"))
    assert raw["faults"][0]["kind"] is False
    assert load_scenario("bad_day").faults[0].kind is Kind.OFF


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"peeple": 3}, "peeple"),
        ({"people": 9}, "people"),
        ({"traffic": {"gap_s": [1.0]}}, "traffic"),
        ({"faults": [{"at_s": 1, "component": "gpu", "kind": "delayed"}]}, "gpu cannot be delayed"),
        ({"faults": [{"at_s": -1, "component": "gpu", "kind": "off"}]}, "at_s"),
        ({"parts": {"in_bin": 0}}, "in_bin"),
    ],
)
def test_a_scenario_with_a_mistake_is_refused_by_place(
    change: dict[str, object], said: str
) -> None:
    with pytest.raises(ScenarioError, match=said):
        parse_scenario({"name": "x", "title": "X"} | change, where="x.yaml")


def test_unknown_scenario_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ScenarioError, match="rush_hour"):
        load_scenario("quiet")


def test_a_run_plays_the_scenario_its_folder_names(paths: Paths) -> None:
    assert scenario_of_run(paths.run).name == "picking"
    chosen = load_scenario("rush_hour").model_copy(update={"seed": 99})
    write_scenario(chosen, paths.run)
    assert scenario_of_run(paths.run) == chosen


def test_scene_follows_the_profile(config: Config, other_config: Config) -> None:
    scenario = load_scenario("picking")
    osaka, gdansk = scene_of(config, scenario), scene_of(other_config, scenario)
    assert (osaka.joints, gdansk.joints) == (7, 6)
    assert osaka.home_rad == pytest.approx(config.robot.home_rad)
    assert gdansk.layout.walkway.max_m == other_config.facility.walkway_max_m
    assert set(osaka.layout.cameras) == set(config.robot.cameras)


class Stage:
    """A scene and its director, moved along without physics in between."""

    def __init__(self, config: Config, name: str, **changes: object) -> None:
        scenario: Scenario = load_scenario(name).model_copy(update=changes)
        self.scene: Scene = scene_of(config, scenario)
        self.board = FaultBoard(Venue.LOCK_STEP)
        self.director = Director(self.scene, scenario, self.board, people_expected=2)

    def run(self, seconds: float) -> list[tuple[float, float]]:
        """Every position of everyone in this time."""
        spots: list[tuple[float, float]] = []
        for _ in range(round(seconds * 20)):
            self.scene.data.time += 0.05
            self.director.step()
            spots += [s.position_m for s in self.scene.stances() if s is not None]
        return spots


@pytest.mark.parametrize("name", ["picking", "rush_hour", "held_out"])
def test_people_stay_in_the_walkway_and_its_entrances(config: Config, name: str) -> None:
    stage = Stage(config, name)
    spots = stage.run(240)
    area = stage.scene.layout.walkway
    assert len(spots) > 500
    xs, ys = np.array(spots).T
    assert area.min_m[0] <= xs.min() <= xs.max() <= area.max_m[0]
    assert area.min_m[1] - ENTRANCE_M <= ys.min() <= ys.max() <= area.max_m[1] + ENTRANCE_M


def test_never_more_people_than_expected(config: Config) -> None:
    stage = Stage(config, "rush_hour")
    counts = []
    for _ in range(1200):
        stage.run(0.05)
        counts.append(sum(stance is not None for stance in stage.scene.stances()))
    assert max(counts) == 3


def test_nobody_comes_when_nobody_is_expected(config: Config) -> None:
    assert Stage(config, "empty").run(120) == []


def test_person_faults_change_the_traffic(config: Config) -> None:
    stage = Stage(config, "rush_hour")
    stage.run(20)
    stage.board.inject(Component.PERSON, Kind.OFF, 0)
    stage.run(0.1)
    assert stage.run(10) == []
    stage.board.inject(Component.PERSON, Kind.STUCK, 0)
    stage.run(1)
    near = stage.scene.stances()[-1]
    assert near is not None
    assert near.position_m[0] == stage.scene.layout.walkway.min_m[0]
    stage.board.inject(Component.PERSON, Kind.INTERMITTENT, 0)
    nearest = [min((s[0] for s in stage.run(1)), default=9.0) for _ in range(25)]
    assert min(nearest) < 1.2
    assert max(nearest[5:]) > 1.4


def test_a_new_part_appears_when_one_has_left_the_bin(config: Config) -> None:
    stage = Stage(config, "empty")
    stage.run(0.2)
    assert stage.director.referee.states.count(PartState.IN_BIN) == 3
    stage.scene.place_part(0, (*stage.scene.layout.tray.center_m, 0.03))
    stage.run(0.2)
    assert stage.director.referee.states.count(PartState.IN_BIN) == 2
    stage.run(2.0)
    assert stage.director.referee.states.count(PartState.IN_BIN) == 3


def test_a_full_tray_is_emptied_from_its_oldest_part(config: Config) -> None:
    stage = Stage(config, "empty")
    tray = stage.scene.layout.tray
    for part in range(4):
        x, y = tray.center_m
        stage.scene.place_part(part, (x - 0.1 + 0.06 * part, y, 0.03))
        stage.run(3.0)
    states = stage.director.referee.states
    assert states.count(PartState.IN_TRAY) == 3
    assert states[0] is not PartState.IN_TRAY


def test_a_part_left_on_the_table_is_taken_away_after_a_while(config: Config) -> None:
    stage = Stage(config, "empty")
    stage.scene.place_part(0, (0.47, 0.0, 0.03))
    stage.run(5)
    assert stage.director.referee.states[0] is PartState.LOOSE
    stage.run(15)
    assert stage.director.referee.states[0] is not PartState.LOOSE
