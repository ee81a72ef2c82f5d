"""Annotated pictures for the page, a few a second."""

from conf.schema import Config
from runtime.hal.clock import NS_PER_MS
from runtime.perception.annotate import (
    BLIND,
    SHOWN_SIZE,
    canvas,
    draw_parts,
    draw_people,
    draw_volumes,
    write_line,
)
from runtime.perception.bin_eye import BinEye
from runtime.perception.looks import CellLooks
from runtime.perception.records import PeopleReport
from runtime.perception.stereo_looks import StereoLooks
from runtime.perception.tracks import Track
from runtime.perception.watch import CameraWatch
from runtime.shm import Shm


class Shows:
    def __init__(self, config: Config, shm: Shm) -> None:
        shape = (SHOWN_SIZE[1], SHOWN_SIZE[0], 3)
        self._writers = {
            name: shm.image_writer(f"snapshot.{name}", shape, "uint8") for name in ("cell", "bin")
        }
        self._period_ns = round(1e9 / config.hardware.cameras.snapshot_rate_hz)
        self._due_ns = 0

    def show(
        self,
        now_ns: int,
        watches: dict[str, CameraWatch],
        report: PeopleReport,
        people: list[Track],
        parts: BinEye,
        cell: CellLooks,
        stereo: StereoLooks,
    ) -> None:
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + self._period_ns - 10 * NS_PER_MS
        line = f"level {report.level}  workspace {report.workspace.name.lower()}"
        if report.level == 0 and stereo.told_ns is not None:
            self._show_stereo(now_ns, watches, stereo, line)
        elif (frame := watches["cell"].last) is not None:
            shown = canvas(frame.color)
            draw_people(shown, cell.eye.view, people)
            blind = watches["cell"].is_blind(now_ns)
            write_line(
                shown, "camera blind" if blind else line, BLIND if blind else (255, 255, 255)
            )
            self._writers["cell"].write(shown, capture_ns=frame.capture_ns)
        if (frame := watches["bin"].last) is not None:
            shown = canvas(frame.color)
            draw_parts(shown, parts.view, parts.parts, parts.capture_ns)
            if watches["bin"].is_blind(now_ns):
                write_line(shown, "camera blind", BLIND)
            self._writers["bin"].write(shown, capture_ns=frame.capture_ns)

    def _show_stereo(
        self, now_ns: int, watches: dict[str, CameraWatch], stereo: StereoLooks, line: str
    ) -> None:
        frame = watches["stereo_left"].last
        if frame is None:
            return
        shown = canvas(frame.color)
        draw_volumes(shown, stereo.view, stereo.look.volumes)
        why = f" ({stereo.look.why})" if stereo.look.why else ""
        write_line(shown, f"stereo on CPU  {line}{why}")
        self._writers["cell"].write(shown, capture_ns=frame.capture_ns)
