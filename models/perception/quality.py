"""How well a network does on labelled pictures that training did not see."""

import time
from typing import Any

import numpy as np

from models.perception.pictures import Pictures, ray_height
from runtime.perception.detection import find_people, suppress
from runtime.perception.geometry import View
from runtime.perception.inference import Card, Tensors
from runtime.perception.inference.onnx_cpu import OnnxSession
from runtime.perception.parts import find_parts

FALSE_ALARMS = 0.05
MATCH_M = 0.5
PART_MATCH_M = 0.02
WANTED_PX = 300
FLOOR_SCORE = 0.05


def inputs_of(
    card: Card, rgb: np.ndarray, depth_m: np.ndarray, ray: np.ndarray, height_m: float
) -> Tensors:
    tensors: Tensors = {
        "rgb": rgb[None],
        "depth": depth_m[None],
        "ray_height": ray[None],
        "camera_height": np.array([height_m], np.float32),
    }
    for spec in card.inputs:
        if spec.name == "previous":
            tensors["previous"] = np.zeros(spec.shape, np.float32)
    return tensors


def _run(
    session: OnnxSession, card: Card, pictures: Pictures, index: int
) -> tuple[Tensors, np.ndarray, View]:
    height, width = pictures.depth_mm.shape[1:]
    depth_m = pictures.depth_mm[index].astype(np.float32) * 1e-3
    ray = ray_height(pictures.up_row[index], height, width)
    camera_height = float(pictures.camera_height_m[index])
    outputs = session.run(inputs_of(card, pictures.rgb[index], depth_m, ray, camera_height))
    return outputs, depth_m, view_of_picture(pictures, index)


def view_of_picture(pictures: Pictures, index: int) -> View:
    """A view that lifts into the camera's own frame, turned so that it can be compared by range."""
    height, width = pictures.depth_mm.shape[1:]
    focal = float(pictures.up_row[index, 3])
    return View(np.zeros(3), np.eye(3), focal, width, height, 0.0)


def people_quality(session: OnnxSession, card: Card, pictures: Pictures) -> dict[str, Any]:
    """Recall at 0.05 false alarms a picture, and where the threshold for it lies."""
    hits: list[float] = []  # score of the best match of each wanted person, 0 where none
    alarms: list[float] = []
    errors: list[float] = []
    took: list[float] = []
    for index in range(len(pictures)):
        began = time.perf_counter()
        outputs, depth_m, view = _run(session, card, pictures, index)
        found = suppress(
            find_people(outputs, depth_m, view, card.grid_stride_px, FLOOR_SCORE), 0.35
        )
        took.append(time.perf_counter() - began)
        free = list(found)
        for slot in np.flatnonzero(pictures.pixels[index] > 0):
            match = _match(pictures, index, int(slot), free, view)
            wanted = pictures.pixels[index, slot] >= WANTED_PX
            if match is not None:
                free.remove(match[0])
            if wanted:
                hits.append(0.0 if match is None else match[0].score)
                if match is not None:
                    errors.append(match[1])
        alarms += [one.score for one in free]
    limit = np.sort(alarms)[::-1]
    allowed = int(FALSE_ALARMS * len(pictures))
    threshold = float(limit[allowed]) if len(limit) > allowed else FLOOR_SCORE
    return {
        "recall_300px_at_0.05_false_alarms": round(float(np.mean(np.array(hits) > threshold)), 4),
        "threshold": round(threshold, 3),
        "people_300px": len(hits),
        "position_error_m_p50": round(float(np.percentile(errors, 50)), 3),
        "position_error_m_p95": round(float(np.percentile(errors, 95)), 3),
        "cpu_ms_p50": round(float(np.percentile(took, 50)) * 1e3, 2),
    }


def _match(
    pictures: Pictures, index: int, slot: int, free: list[Any], view: View
) -> tuple[Any, float] | None:
    """The nearest detection to a labelled person, in the camera's frame."""
    range_m = float(pictures.range_m[index, slot])
    box = pictures.box_px[index, slot]
    truth = view.lift((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, range_m)
    best: tuple[Any, float] | None = None
    for one in free:
        error = float(np.linalg.norm((one.position_m - truth)[[0, 2]]))
        if error < MATCH_M and (best is None or error < best[1]):
            best = (one, error)
    return best


def part_quality(session: OnnxSession, card: Card, pictures: Pictures) -> dict[str, Any]:
    """Recall, false alarms, and how far off centre and height are, at the best threshold for F1."""
    truths = 0
    matched: list[tuple[float, float, float]] = []  # score, error across, error in height
    alarms: list[float] = []
    for index in range(len(pictures)):
        outputs, depth_m, view = _run(session, card, pictures, index)
        free = find_parts(outputs, depth_m, view, card.grid_stride_px, FLOOR_SCORE)
        for slot in np.flatnonzero(pictures.pixels[index] > 24):
            truths += 1
            box = pictures.box_px[index, slot]
            range_m = float(pictures.range_m[index, slot])
            truth = view.lift((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, range_m)
            near = [p for p in free if np.hypot(*(p.position_m - truth)[:2]) < PART_MATCH_M]
            if near:
                part = max(near, key=lambda p: p.score)
                free.remove(part)
                across, up = part.position_m - truth, abs(float(part.position_m[2] - truth[2]))
                matched.append((part.score, float(np.hypot(*across[:2])), up))
        alarms += [part.score for part in free]
    table = np.array(matched)
    grid = np.linspace(0.1, 0.9, 81)
    f1 = [
        2
        * np.sum(table[:, 0] > t)
        / (truths + np.sum(table[:, 0] > t) + np.sum(np.array(alarms) > t))
        for t in grid
    ]
    threshold = float(grid[int(np.argmax(f1))])
    kept = table[table[:, 0] > threshold]
    return {
        "threshold": round(threshold, 2),
        "recall": round(len(kept) / truths, 4),
        "false_alarms_a_picture": round(
            float(np.sum(np.array(alarms) > threshold)) / len(pictures), 4
        ),
        "center_error_mm_p50": round(float(np.percentile(kept[:, 1], 50)) * 1e3, 2),
        "center_error_mm_p95": round(float(np.percentile(kept[:, 1], 95)) * 1e3, 2),
        "height_error_mm_p50": round(float(np.percentile(kept[:, 2], 50)) * 1e3, 2),
        "height_error_mm_p95": round(float(np.percentile(kept[:, 2], 95)) * 1e3, 2),
    }
