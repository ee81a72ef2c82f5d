"""Recorded pictures of all cameras, played in an endless loop: perception without rendering."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.hal.clock import NS_PER_S
from runtime.shm import ImageReader, ImageWriter, Shm


@dataclass(frozen=True)
class Film:
    """Pictures by topic (`camera.cell.rgb`), one a row, all at one rate."""

    rate_hz: float
    pictures: dict[str, NDArray[Any]]

    def __post_init__(self) -> None:
        lengths = {len(rows) for rows in self.pictures.values()}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(f"film: topics must have equally many pictures, got {sorted(lengths)}")

    @property
    def length(self) -> int:
        return len(next(iter(self.pictures.values())))

    def save(self, path: Path) -> None:
        np.savez_compressed(path, rate_hz=self.rate_hz, **self.pictures)  # type: ignore[arg-type]


def load_film(path: Path) -> Film:
    with np.load(path, allow_pickle=False) as stored:
        pictures = {topic: stored[topic] for topic in stored.files if topic != "rate_hz"}
        return Film(float(stored["rate_hz"]), pictures)


class FilmPlayer:
    """Stands where the camera process stands."""

    def __init__(self, shm: Shm, film: Film) -> None:
        self.rate_hz = film.rate_hz
        self._film = film
        self._writers: dict[str, ImageWriter] = {
            topic: shm.image_writer(topic, rows.shape[1:], rows.dtype)
            for topic, rows in sorted(film.pictures.items())  # depth before rgb, as cameras do
        }
        self._next = 0

    def step(self, now_ns: int) -> None:
        row = self._next % self._film.length
        self._next += 1
        for topic, writer in self._writers.items():
            writer.write(self._film.pictures[topic][row], capture_ns=now_ns)

    def close(self) -> None:
        self._writers.clear()


class FilmRecorder:
    """Collects what cameras show; use `step` as a hook at the film's rate."""

    def __init__(self, shm: Shm, topics: tuple[str, ...], rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self._readers: dict[str, ImageReader] = {t: shm.image_reader(t) for t in topics}
        self._rows: dict[str, list[NDArray[Any]]] = {topic: [] for topic in topics}

    @property
    def period_s(self) -> float:
        return 1.0 / self._rate_hz

    def step(self, now_ns: int) -> None:
        images = {topic: reader.latest() for topic, reader in self._readers.items()}
        oldest_ns = now_ns - round(2 * NS_PER_S / self._rate_hz)
        if any(image is None or image.capture_ns < oldest_ns for image in images.values()):
            return  # a camera that does not deliver leaves no picture behind
        for topic, image in images.items():
            if image is not None:
                self._rows[topic].append(image.array)

    def film(self) -> Film:
        pictures = {topic: np.stack(rows) for topic, rows in self._rows.items() if rows}
        return Film(self._rate_hz, pictures)
