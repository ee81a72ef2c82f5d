"""Plays a scenario: who walks when, which cart moves, which part comes and goes."""

from __future__ import annotations

import numpy as np

from sim.faults import Component, FaultSource, Kind
from sim.layout import Rectangle, Vec2
from sim.people import WalkEnd
from sim.scenario import Scenario
from sim.scene import Scene
from sim.score import MISPLACED_S, PartState, Referee

ENTRANCE_M = 1.2  # people come and go this far beyond the walkway's ends, out of sight
CLEAR_OF_BIN_M = 0.28  # parts appear only while the tool is higher than this, or elsewhere
INTRUDER_SPEED_M_S = 1.2
SLOW_WALK = 0.25
STUCK_WALK_M = 0.02
SETTLED_S = 1.5


class Director:
    """Moves the scene's people, carts and parts; `step` at 20 Hz."""

    def __init__(
        self, scene: Scene, scenario: Scenario, faults: FaultSource, people_expected: int
    ) -> None:
        self._scene = scene
        self._scenario = scenario
        self._faults = faults
        self._rng = np.random.default_rng([scenario.seed, 1])
        self.referee = Referee(scene)
        self._intruder = len(scene.people) - 1
        walkers = scenario.people - 1
        wanted = scenario.traffic.at_once
        self._at_once = min(walkers, people_expected if wanted is None else wanted)
        self._next_walk_s = [self._gap(scenario.traffic.gap_s) * 0.5 for _ in range(walkers)]
        carts_gap = scenario.carts.gap_s
        self._next_cart_s = np.inf if carts_gap is None else self._gap(carts_gap)
        self._respawn_at_s: float | None = None
        self._person_fault: Kind | None = None

    def step(self) -> None:
        self.referee.step()
        self._mind_parts()
        self._mind_people()
        self._mind_carts()

    # Parts

    def _mind_parts(self) -> None:
        scene, flow, states = self._scene, self._scenario.parts, self.referee.states
        for part, state in enumerate(states):
            if state is PartState.LOOSE and self.referee.at_rest_s(part) > MISPLACED_S:
                scene.park_part(part)  # an attendant takes it away
        in_tray = [
            (self.referee.at_rest_s(part), part)
            for part, state in enumerate(states)
            if state is PartState.IN_TRAY and self.referee.at_rest_s(part) > SETTLED_S
        ]
        for _, part in sorted(in_tray, reverse=True)[: max(0, len(in_tray) - flow.tray_keeps)]:
            scene.park_part(part)
        self._respawn()
        away = sum(state is PartState.AWAY for state in states)
        self.referee.tally.parts_away = away

    def _respawn(self) -> None:
        scene, flow, states = self._scene, self._scenario.parts, self.referee.states
        waiting = [part for part, state in enumerate(states) if state is PartState.AWAY]
        if not waiting or states.count(PartState.IN_BIN) >= flow.in_bin:
            self._respawn_at_s = None
            return
        if self._respawn_at_s is None:
            self._respawn_at_s = scene.time_s + flow.respawn_s
        if scene.time_s >= self._respawn_at_s and self._bin_is_clear():
            part = waiting[int(self._rng.integers(len(waiting)))]
            if scene.spawn_part(part, scene.layout.bin, clutter=flow.clutter):
                self._respawn_at_s = None

    def _bin_is_clear(self) -> bool:
        position, _ = self._scene.tool_pose()
        tub = self._scene.layout.bin
        away = abs(position[1] - tub.center_m[1]) > tub.inner_m[1] / 2 + 0.1
        return bool(away or position[2] > CLEAR_OF_BIN_M)

    # People

    def _mind_people(self) -> None:
        fault = self._faults.active(Component.PERSON)
        kind = None if fault is None else fault.kind
        if kind is not self._person_fault:
            self._change_person_fault(kind)
        if kind is Kind.OFF:
            return
        scene, traffic = self._scene, self._scenario.traffic
        slow = SLOW_WALK if kind is Kind.SLOW else 1.0
        for person in range(len(self._next_walk_s)):
            if scene.people.is_busy(person, scene.time_s):
                continue
            if scene.time_s < self._next_walk_s[person] or self._busy() >= self._at_once:
                continue
            speed = float(self._rng.uniform(*traffic.speed_m_s)) * slow
            scene.people.walk(
                person,
                self._crossing(),
                speed,
                start_s=scene.time_s,
                pause_s=traffic.pause_s if self._rng.random() < 0.4 else 0.0,
            )
            self._next_walk_s[person] = scene.time_s + self._gap(traffic.gap_s)

    def _busy(self) -> int:
        scene = self._scene
        walkers = range(len(self._next_walk_s))
        return sum(scene.people.is_busy(person, scene.time_s) for person in walkers)

    def _crossing(self) -> list[Vec2]:
        """From one end of the walkway to the other or back, by a few points inside it."""
        area = self._scene.layout.walkway
        (x0, y0), (x1, y1) = area.min_m, area.max_m
        ends = [y0 - ENTRANCE_M, y1 + ENTRANCE_M]
        first = int(self._rng.integers(2))
        last = first if self._rng.random() < 0.2 else 1 - first
        inner = [area.sample(self._rng) for _ in range(self._scenario.traffic.inner_points)]
        if first != last:
            inner.sort(key=lambda point: point[1], reverse=first == 1)
        door_in, door_out = (float(x) for x in self._rng.uniform(x0, x1, 2))
        return [(door_in, ends[first]), *inner, (door_out, ends[last])]

    def _change_person_fault(self, kind: Kind | None) -> None:
        scene, who, now_s = self._scene, self._intruder, self._scene.time_s
        before, self._person_fault = self._person_fault, kind
        near, far = scene.layout.intruder_goal_m, self._far_point()
        if kind is Kind.WRONG:
            path, end = [far, (near[0] + 0.6, near[1]), near], WalkEnd.REACH
            scene.people.walk(who, path, INTRUDER_SPEED_M_S, start_s=now_s, end=end)
        elif kind is Kind.INTERMITTENT:
            path = [far, (near[0] + 0.15, near[1])]
            scene.people.walk(
                who, path, INTRUDER_SPEED_M_S, start_s=now_s, end=WalkEnd.LOOP, pause_s=3.0
            )
        elif kind is Kind.STUCK:
            x = scene.layout.walkway.min_m[0]
            path = [(x, STUCK_WALK_M), (x, 0.0)]
            scene.people.walk(who, path, start_s=now_s, end=WalkEnd.STAY)
        elif before in (Kind.WRONG, Kind.INTERMITTENT, Kind.STUCK):
            self._send_home(who)
        if kind is Kind.OFF:
            for person in range(len(scene.people)):
                scene.people.leave(person)

    def _send_home(self, person: int) -> None:
        scene = self._scene
        stance = scene.people.stance(person, scene.time_s)
        if stance is None:
            scene.people.leave(person)
            return
        path = [stance.position_m, self._far_point()]
        scene.people.walk(person, path, INTRUDER_SPEED_M_S, start_s=scene.time_s)

    def _far_point(self) -> Vec2:
        area = self._scene.layout.walkway
        return area.max_m[0] - 0.6, area.max_m[1] + ENTRANCE_M

    # Carts

    def _mind_carts(self) -> None:
        scene, carts = self._scene, self._scenario.carts
        if carts.gap_s is None or carts.count == 0 or scene.time_s < self._next_cart_s:
            return
        self._next_cart_s = scene.time_s + self._gap(carts.gap_s)
        cart = int(self._rng.integers(carts.count))
        area: Rectangle = scene.layout.clutter_area
        start = scene.distractor_spot(cart) or (area.max_m[0], area.max_m[1] + ENTRANCE_M)
        scene.move_distractor(cart, [start, area.sample(self._rng)], start_s=scene.time_s)

    def _gap(self, span: tuple[float, float]) -> float:
        return float(self._rng.uniform(*span))
