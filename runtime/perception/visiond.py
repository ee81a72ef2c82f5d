"""The eyes' process: cameras in, `people` and `scene` out, thirty times a second.

With networks: the cascade on the cell, detection in the bin. Without the GPU: stereo depth on the
CPU, ten times a second. What cannot be seen is said to be unknown, never clear.
"""

import numpy as np

from conf.calibration import calibrated_camera, calibrated_model
from runtime.daemon import Context, Process, run_daemon
from runtime.hal.cameras import Frame, open_camera
from runtime.hal.clock import NS_PER_MS
from runtime.hal.gpu import open_gpu
from runtime.perception import records
from runtime.perception.arm import ArmMask, ArmShape
from runtime.perception.bin_eye import BinEye
from runtime.perception.change import STEP
from runtime.perception.devices import backend_of, card_paths, open_inference, read_cards
from runtime.perception.duty import Duty, duty_of, gpu_state
from runtime.perception.eye import CellEye, Surroundings, eye_settings
from runtime.perception.geometry import Array, View, view_of
from runtime.perception.inference import Card
from runtime.perception.level import Level
from runtime.perception.looks import CELL, BinLooks, CellLooks
from runtime.perception.news import News
from runtime.perception.shows import Shows
from runtime.perception.stereo_looks import StereoLooks
from runtime.perception.tracks import Track
from runtime.perception.watch import CameraWatch
from runtime.perception.workspace import NEAR_M, Sight, judge
from runtime.shm.enums import GpuState, Levels, Phase, Workspace

STATE_STALE_NS = 100 * NS_PER_MS
MAX_AGE_NS = 300 * NS_PER_MS  # of a result that the workspace is judged by
MAX_WAIT_NS = 12 * NS_PER_MS  # in one step, for level 1's word on the newest picture


class VisionProcess:
    def __init__(self, context: Context) -> None:
        config, shm = context.config, context.shm
        self.rate_hz = config.perception.levels[Level.FAST.key].rate_hz
        self._context = context
        self._config = config
        self._networks = read_cards(config, card_paths(config, context.paths.chosen_models))
        self._inference = open_inference(context)
        self._gpu = open_gpu(config, shm, context.clock)
        self._gpu_state = GpuState.UNKNOWN
        stuck_ns = config.perception.stuck_camera_ms * NS_PER_MS
        self._watches = {
            name: CameraWatch(open_camera(config, shm, context.clock, name), stuck_ns)
            for name in ("cell", "bin", "stereo_left", "stereo_right")
        }
        shape = ArmShape(calibrated_model(config))
        floor_z_m = -config.robot.arm.mount_height_m
        cell_view = self._view("cell", self._networks.levels[Level.FAST], floor_z_m)
        eye = CellEye(eye_settings(config), cell_view, ArmMask(shape, cell_view, STEP))
        self._cell = CellLooks(config, self._networks, self._inference, eye)
        # Over the bin, heights count from the table's top, the base frame's zero.
        bin_view = self._view("bin", self._networks.parts, 0.0)
        keep_ns = config.perception.parts.keep_ms * NS_PER_MS
        parts = BinEye(bin_view, keep_ns)
        self._bin = BinLooks(config, self._networks.parts, self._inference, parts)
        self._stereo = StereoLooks(config, self._watches, shape)
        self._news = News(context.telemetry, self._inference.ledger, self._networks)
        self._shows = Shows(config, shm)
        self._readers = {name: shm.reader(name) for name in ("directive", "goal", "state")}
        self._people = shm.writer("people")
        self._scene = shm.writer("scene")
        self._duty = Duty(Levels(0), self.rate_hz, stereo=False)
        self._due_ns = 0
        self._unexplained_since_ns: int | None = None
        self._workspace = Workspace.UNKNOWN

    def step(self, now_ns: int) -> None:
        self._settle_duty(now_ns)
        frame = self._watches["cell"].fetch(now_ns)
        bin_frame = self._watches["bin"].fetch(now_ns)
        around = self._surroundings(now_ns)
        if self._duty.stereo:
            self._stereo.step(now_ns, around.arm_q_rad)
            self._collect(now_ns, 0)
        else:
            self._look(frame, bin_frame, around, now_ns)
            self._stereo.learn(now_ns, around.arm_q_rad, empty=self._is_empty(now_ns))
        self._publish(now_ns)
        self._tell(now_ns)

    def close(self) -> None:
        self._inference.close()
        for watch in self._watches.values():
            watch.camera.close()

    def _view(self, camera: str, card: Card, ground_z_m: float) -> View:
        """The camera's view at the size its network takes."""
        rgb = next(spec for spec in card.inputs if spec.name == "rgb")
        _, height, width, _ = rgb.shape
        mount = calibrated_camera(self._config, camera)
        return view_of(mount, width, height, ground_z_m)

    def _settle_duty(self, now_ns: int) -> None:
        reading = self._gpu.read()
        health = self._inference.health(now_ns)
        late = self._news.late_ratio(now_ns)
        band = self._config.modes.gpu
        self._gpu_state = gpu_state(reading, health, band, self._gpu_state, late_ratio=late)
        self._inference.set_slowdown(reading.slowdown or 1.0)
        self._duty = duty_of(
            self._readers["directive"].latest(),
            self._gpu_state,
            self.rate_hz,
            self._config.perception.stereo_rate_hz,
            now_ns,
        )

    def _surroundings(self, now_ns: int) -> Surroundings:
        """The arm as its own control process last reported it; too old is not known."""
        state, goal = self._readers["state"].latest(), self._readers["goal"].latest()
        q: Array | None = None
        speed: float | None = None
        if state is not None and now_ns - int(state["created_ns"]) < STATE_STALE_NS:
            q, speed = self._arm_of(state)
        busy = goal is not None and int(goal["phase"]) != Phase.IDLE
        high_value = goal is not None and busy and bool(goal["high_value"])
        return Surroundings(q, speed, high_value=high_value, allowed=self._duty.allowed)

    def _arm_of(self, state: np.void) -> tuple[Array | None, float | None]:
        """Joint angles and the fastest joint's speed; None where they are no numbers."""
        joints = int(state["joints"])
        q, qd = np.array(state["q"][:joints]), np.array(state["qd"][:joints])
        known = joints == len(self._config.robot.model.links) and bool(np.isfinite(q).all())
        speed = float(np.abs(qd).max(initial=0.0))
        return (q if known else None), (speed if np.isfinite(speed) else None)

    def _look(
        self, frame: Frame | None, bin_frame: Frame | None, around: Surroundings, now_ns: int
    ) -> None:
        started = False
        if frame is not None and now_ns >= self._due_ns:
            started = self._cell.begin(frame, around, now_ns)
            # A quarter of a period early is on time, so that the camera's grid stays the grid.
            self._due_ns = now_ns + round(0.75e9 / self._duty.rate_hz)
        if bin_frame is not None:
            started |= self._bin.begin(bin_frame, now_ns)
        self._collect(now_ns, MAX_WAIT_NS if started else 0)

    def _collect(self, now_ns: int, wait_ns: int) -> None:
        """Results as they come, for as long as level 1 still owes its word on this picture."""
        until_ns = now_ns + wait_ns
        while True:
            clock_ns = max(now_ns, self._context.clock.now_ns())
            results = self._inference.poll(clock_ns, max(0, until_ns - clock_ns))
            for result in results:
                self._news.count(result, now_ns)
                if result.tag == CELL:
                    self._cell.take(result, now_ns)
                else:
                    self._bin.take(result)
            if not results or self._context.clock.now_ns() >= until_ns:
                return

    def _is_empty(self, now_ns: int) -> bool:
        """Whether a full look has lately found nobody and nothing has changed since."""
        eye = self._cell.eye
        settled = eye.change.known and eye.change.pixels() == 0
        return settled and not eye.people(now_ns) and self._workspace is Workspace.CLEAR

    def _publish(self, now_ns: int) -> None:
        people = self._cell.eye.people(now_ns)
        if self._duty.stereo:
            report = self._stereo.report(now_ns)
        else:
            report = self._people_report(people, now_ns)
        self._workspace = report.workspace
        records.write_people(self._people, report, now_ns)
        records.write_scene(self._scene, self._scene_report(people), now_ns)
        self._shows.show(
            now_ns, self._watches, report, people, self._bin.eye, self._cell, self._stereo
        )

    def _people_report(self, people: list[Track], now_ns: int) -> records.PeopleReport:
        cell, eye = self._cell, self._cell.eye
        blind = self._watches["cell"].is_blind(now_ns)
        unexplained = eye.unexplained_px(now_ns)
        loud = unexplained is not None and unexplained >= eye.settings.triggers.change_px
        if not loud:
            self._unexplained_since_ns = None
        elif self._unexplained_since_ns is None:
            self._unexplained_since_ns = now_ns
        sight = Sight(
            is_blind=blind,
            result_age_ns=None if cell.looked_ns is None else now_ns - cell.looked_ns,
            max_age_ns=MAX_AGE_NS,
            can_tell=unexplained is not None,
            occupied=any(eye.settings.zone.holds(t.at(now_ns), NEAR_M) for t in people),
            unexplained_since_ns=self._unexplained_since_ns,
        )
        workspace = judge(sight, now_ns)
        somebody = [records.from_track(track) for track in people]
        if (
            loud
            and workspace is Workspace.UNKNOWN
            and (place := eye.unexplained_place(now_ns)) is not None
        ):
            somebody.append(records.stranger(place))
        # As old as the oldest thing in it: a carried result is not new because it is told again.
        seen_ns = [track.seen_ns for track in people]
        capture_ns = min([cell.looked_ns or 0, *seen_ns])
        return records.PeopleReport(
            capture_ns, cell.level, self._networks.level_hash(cell.level), workspace, somebody
        )

    def _scene_report(self, people: list[Track]) -> records.SceneReport:
        cell, ledger = self._cell, self._inference.ledger
        counters = [ledger.of(self._networks.levels[level].name) for level in Level]
        latency = tuple(row.latency_ns for row in counters)
        runs = tuple(row.done + row.late for row in counters)
        late = tuple(row.late for row in counters)
        stereo = self._duty.stereo
        return records.SceneReport(
            capture_ns=self._bin.eye.capture_ns,
            level=0 if stereo else cell.level,
            model_hash=0 if stereo else self._networks.level_hash(cell.level),
            parts=self._bin.eye.parts,
            people=people,
            triggers=cell.why,
            occlusion=max((track.occlusion for track in people), default=0.0),
            last_full_ns=cell.eye.memory.last_full_ns or 0,
            latency_ns=(latency[0], latency[1], latency[2]),
            runs=(runs[0], runs[1], runs[2]),
            late_drops=(late[0], late[1], late[2]),
            frames=self._watches["cell"].frames,
            backend=backend_of(self._config),
            gpu_state=self._gpu_state,
        )

    def _tell(self, now_ns: int) -> None:
        blind = {name: self._watches[name].is_blind(now_ns) for name in ("cell", "bin")}
        level = 0 if self._duty.stereo else self._cell.level
        self._news.tell(now_ns, level, self._cell.why, self._gpu_state, blind, self._workspace)


def build(context: Context) -> Process:
    return VisionProcess(context)


if __name__ == "__main__":
    run_daemon("visiond", build)
