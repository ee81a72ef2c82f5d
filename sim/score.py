"""Judges a run by the physics: which parts were placed, lost or dropped, and who was touched.

Perception is scored from rendered labels. Nothing here is ever read by `runtime/`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import mujoco
import numpy as np

from runtime.shm import Shm
from sim.layout import Array
from sim.render import Segmentation
from sim.scene import PartTruth, Scene, SegKind

TALLY_TOPIC = "tally"
VISIBLE_PIXELS = 300  # a person of fewer pixels at 160x120 is too small to be asked for
AT_REST_S = 0.4
FALLEN_Z_M = -0.05
MISPLACED_S = 15.0


class PartState(StrEnum):
    AWAY = "away"
    IN_BIN = "in_bin"
    CARRIED = "carried"
    LOOSE = "loose"  # neither held nor where it belongs
    IN_TRAY = "in_tray"


@dataclass
class Tally:
    """What has happened so far, by the truth."""

    picked: int = 0  # lifted out of the bin by the cup
    placed: int = 0  # came to rest in the tray after being carried
    dropped: int = 0  # let go of anywhere else
    fallen: int = 0  # off the table
    person_contacts: int = 0  # times the robot began to touch a person
    person_contact_speed_m_s: float = 0.0  # fastest tool at such a moment
    cell_contacts: int = 0  # times the arm (not the cup) began to touch table, bin or tray
    parts_away: int = 0


class Referee:
    """Watches a scene and keeps the tally; `step` at 20 Hz or faster."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.tally = Tally()
        self.states = [PartState.AWAY] * scene.spec.parts
        self._carried = [False] * scene.spec.parts
        self._fallen = [False] * scene.spec.parts
        self._since_s = [0.0] * scene.spec.parts
        kinds, _ = scene.geom_labels()
        self._kinds = kinds
        self._cup = scene.model.geom("suction_cup").id
        self._touching: set[SegKind] = set()

    def step(self) -> None:
        for truth in self._scene.parts():
            self._follow(truth)
        self._watch_contacts()

    def at_rest_s(self, part: int) -> float:
        """How long a part has been in its present state."""
        return self._scene.time_s - self._since_s[part]

    def _follow(self, truth: PartTruth) -> None:
        state = part_state(self._scene, truth)
        fallen = truth.in_play and truth.position_m[2] < FALLEN_Z_M
        self.tally.fallen += fallen and not self._fallen[truth.index]
        self._fallen[truth.index] = fallen
        before = self.states[truth.index]
        if state is before:
            self._settle(truth.index, state)
            return
        self.states[truth.index] = state
        self._since_s[truth.index] = self._scene.time_s
        if state is PartState.CARRIED:
            if before is PartState.IN_BIN:
                self.tally.picked += 1
            self._carried[truth.index] = True
        elif state is PartState.AWAY:
            self._carried[truth.index] = False

    def _settle(self, part: int, state: PartState) -> None:
        """A part that was carried counts once, where it came to rest."""
        if not self._carried[part] or self.at_rest_s(part) < AT_REST_S:
            return
        if state is PartState.IN_TRAY:
            self.tally.placed += 1
            self._carried[part] = False
        elif state in (PartState.LOOSE, PartState.IN_BIN):
            self.tally.dropped += 1
            self._carried[part] = False

    def _watch_contacts(self) -> None:
        data = self._scene.data
        touching: set[SegKind] = set()
        for first, second in data.contact.geom[: data.ncon]:
            kinds = {SegKind(int(self._kinds[first])), SegKind(int(self._kinds[second]))}
            if SegKind.ROBOT not in kinds:
                continue
            if SegKind.PERSON in kinds:
                touching.add(SegKind.PERSON)
            elif self._cup not in (first, second) and SegKind.PART not in kinds:
                touching.add(SegKind.TABLE)
        begun = touching - self._touching
        self._touching = touching
        if SegKind.PERSON in begun:
            self.tally.person_contacts += 1
            speed = tool_speed_m_s(self._scene)
            fastest = max(self.tally.person_contact_speed_m_s, speed)
            self.tally.person_contact_speed_m_s = fastest
        if SegKind.TABLE in begun:
            self.tally.cell_contacts += 1


def part_state(scene: Scene, truth: PartTruth) -> PartState:
    if not truth.in_play:
        return PartState.AWAY
    if truth.held:
        return PartState.CARRIED
    if scene.layout.tray.holds(truth.position_m):
        return PartState.IN_TRAY
    if scene.layout.bin.holds(truth.position_m):
        return PartState.IN_BIN
    return PartState.LOOSE


def tool_speed_m_s(scene: Scene) -> float:
    jacobian = np.zeros((3, scene.model.nv))
    mujoco.mj_jacSite(scene.model, scene.data, jacobian, None, scene.model.site("suction_tip").id)
    return float(np.linalg.norm(jacobian @ scene.data.qvel))


# The tally in shared memory, for drills and soaks outside the plant


class _Slot(Protocol):
    def write(self, array: Array, *, capture_ns: int) -> int: ...


class TallyWriter:
    def __init__(self, truth: Shm) -> None:
        self._slot: _Slot = truth.image_writer(TALLY_TOPIC, (len(fields(Tally)),), np.float64)

    def write(self, tally: Tally, now_ns: int) -> None:
        values = np.array([float(value) for value in asdict(tally).values()])
        self._slot.write(values, capture_ns=now_ns)


def read_tally(shm_folder: Path) -> Tally | None:
    """The running plant's tally; None before it has written one."""
    image = Shm(shm_folder / "sim").image_reader(TALLY_TOPIC).latest()
    if image is None:
        return None
    tally = Tally()
    for entry, value in zip(fields(Tally), image.array, strict=True):
        setattr(tally, entry.name, type(getattr(tally, entry.name))(value))
    return tally


# Perception, scored from labels


@dataclass(frozen=True)
class PersonScore:
    """Detections of one picture against the truth."""

    seen: int  # people large enough to be asked for
    found: int
    false: int  # detections that belong to nobody


def visible_people(
    segmentation: Segmentation, people: int, pixels: int = VISIBLE_PIXELS
) -> list[int]:
    """Which people show enough pixels to be asked for."""
    return [
        person
        for person in range(people)
        if segmentation.visible_pixels(SegKind.PERSON, person) >= pixels
    ]


def score_people(
    scene: Scene, segmentation: Segmentation, found_m: Array, *, reach_m: float = 0.5
) -> PersonScore:
    """Compare detected positions (n x 3, base frame) with where people are.

    A person counts as found when a detection lies within `reach_m` on the floor plan; a detection
    is false when nobody of any size is that near.
    """
    asked = set(visible_people(segmentation, len(scene.people)))
    places = {
        index: np.array(stance.position_m)
        for index, stance in enumerate(scene.stances())
        if stance is not None
    }
    spots = np.asarray(found_m, dtype=np.float64).reshape(-1, 3)[:, :2]
    found = sum(
        1
        for index in asked
        if len(spots) and np.linalg.norm(spots - places[index], axis=1).min() <= reach_m
    )
    false = sum(
        1
        for spot in spots
        if all(np.linalg.norm(spot - place) > reach_m for place in places.values())
    )
    return PersonScore(len(asked), found, false)
