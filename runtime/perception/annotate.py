"""Pictures for the page: what the camera shows with what the eyes made of it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.perception.bin_eye import HeldPart
from runtime.perception.geometry import View
from runtime.perception.stereo import Volume
from runtime.perception.tracks import Track

SHOWN_SIZE = (320, 240)  # width, height
PERSON, PART, HIDDEN, VOLUME, BLIND = (
    (240, 80, 60),
    (70, 200, 90),
    (150, 150, 150),
    (250, 180, 40),
    (200, 40, 40),
)
_FONT = cv2.FONT_HERSHEY_SIMPLEX

Shown = NDArray[np.uint8]


def canvas(color: NDArray[np.uint8]) -> Shown:
    """A picture enlarged to the page's size, RGB."""
    rgb = color if color.ndim == 3 else cv2.cvtColor(color, cv2.COLOR_GRAY2RGB)
    return cv2.resize(rgb, SHOWN_SIZE, interpolation=cv2.INTER_NEAREST).astype(np.uint8)


def draw_people(shown: Shown, view: View, people: list[Track]) -> None:
    for track in people:
        distance_m = float(np.hypot(track.position_m[0], track.position_m[1]))
        text = f"{track.id} {track.confidence:.2f} {distance_m:.1f} m L{int(track.level)}"
        _box(shown, view, track.box_px, PERSON, text)


def draw_parts(shown: Shown, view: View, parts: list[HeldPart], capture_ns: int) -> None:
    for part in parts:
        color = PART if part.seen_ns == capture_ns else HIDDEN
        _box(shown, view, part.box_px, color, str(part.id))


def draw_volumes(shown: Shown, view: View, volumes: list[Volume]) -> None:
    for volume in volumes:
        pixel, distance = view.project(volume.position_m)
        half_px = volume.radius_m * view.focal_px / max(float(distance), 0.3)
        u, v = float(pixel[0]), float(pixel[1])
        box = (u - half_px, v - 2 * half_px, u + half_px, v + 2 * half_px)
        _box(shown, view, box, VOLUME, f"volume {float(distance):.1f} m")


def write_line(shown: Shown, text: str, color: tuple[int, int, int] = (255, 255, 255)) -> None:
    """One line at the lower edge, readable on any floor."""
    place = (6, shown.shape[0] - 8)
    cv2.putText(shown, text, place, _FONT, 0.42, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(shown, text, place, _FONT, 0.42, color, 1, cv2.LINE_AA)


def _box(
    shown: Shown,
    view: View,
    box_px: tuple[float, float, float, float],
    color: tuple[int, int, int],
    text: str,
) -> None:
    scale_x, scale_y = shown.shape[1] / view.width_px, shown.shape[0] / view.height_px
    left, top = round(box_px[0] * scale_x), round(box_px[1] * scale_y)
    right, bottom = round(box_px[2] * scale_x), round(box_px[3] * scale_y)
    cv2.rectangle(shown, (left, top), (right, bottom), color, 1)
    cv2.putText(shown, text, (left, max(9, top - 3)), _FONT, 0.35, color, 1, cv2.LINE_AA)
