"""What may vary between rendered cells: one set of ranges to train on, one held out, disjoint."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

Rgb = tuple[float, float, float]
Intervals = tuple[tuple[float, float], ...]


class Style(StrEnum):
    TRAIN = "train"
    HELD_OUT = "held_out"


@dataclass(frozen=True)
class Ranges:
    """Each field's intervals of one style are disjoint from the other style's."""

    hue: Intervals
    grey: Intervals
    skin: Intervals  # 0 light to 1 dark
    height_m: Intervals
    build: Intervals  # breadth against the average person
    stride: Intervals  # stride length against the average walker
    swing: Intervals  # amplitude of arms and legs against the average walker
    light: Intervals  # intensity of the key light
    azimuth_rad: Intervals
    ambient: Intervals
    part_scale: Intervals


RANGES: dict[Style, Ranges] = {
    Style.TRAIN: Ranges(
        hue=((0.00, 0.08), (0.16, 0.30), (0.38, 0.52), (0.60, 0.74), (0.82, 0.92)),
        grey=((0.04, 0.20), (0.34, 0.52), (0.68, 0.86)),
        skin=((0.00, 0.30), (0.42, 0.72), (0.84, 1.00)),
        height_m=((1.60, 1.71), (1.77, 1.87)),
        build=((0.86, 0.99), (1.06, 1.18)),
        stride=((0.86, 0.98), (1.05, 1.16)),
        swing=((0.70, 0.95), (1.06, 1.25)),
        light=((0.42, 0.60), (0.72, 0.90)),
        azimuth_rad=((-3.0, -1.8), (-0.6, 0.6), (1.8, 3.0)),
        ambient=((0.22, 0.32), (0.38, 0.46)),
        part_scale=((0.86, 0.98), (1.03, 1.14)),
    ),
    Style.HELD_OUT: Ranges(
        hue=((0.09, 0.15), (0.31, 0.37), (0.53, 0.59), (0.75, 0.81), (0.93, 0.99)),
        grey=((0.21, 0.33), (0.53, 0.67), (0.87, 0.95)),
        skin=((0.31, 0.41), (0.73, 0.83)),
        height_m=((1.54, 1.59), (1.72, 1.76), (1.88, 1.94)),
        build=((0.80, 0.85), (1.00, 1.05), (1.19, 1.26)),
        stride=((0.80, 0.85), (0.99, 1.04), (1.17, 1.24)),
        swing=((0.60, 0.69), (0.96, 1.05), (1.26, 1.40)),
        light=((0.61, 0.71), (0.91, 1.00)),
        azimuth_rad=((-1.7, -0.7), (0.7, 1.7)),
        ambient=((0.33, 0.37), (0.47, 0.52)),
        part_scale=((0.99, 1.02), (1.15, 1.20)),
    ),
}


def draw(rng: np.random.Generator, intervals: Intervals) -> float:
    """A value from the union of intervals, each as likely as it is long."""
    lengths = np.array([high - low for low, high in intervals])
    low, high = intervals[int(rng.choice(len(intervals), p=lengths / lengths.sum()))]
    return float(rng.uniform(low, high))


def draw_color(rng: np.random.Generator, ranges: Ranges, *, grey_share: float = 0.35) -> Rgb:
    if rng.random() < grey_share:
        value = draw(rng, ranges.grey)
        return value, value, value
    return colorsys.hsv_to_rgb(
        draw(rng, ranges.hue), float(rng.uniform(0.35, 0.95)), float(rng.uniform(0.30, 0.95))
    )


def draw_pale(rng: np.random.Generator, ranges: Ranges) -> Rgb:
    """A colour as floors, walls and tables have it: little saturation."""
    return colorsys.hsv_to_rgb(
        draw(rng, ranges.hue), float(rng.uniform(0.02, 0.25)), draw(rng, ranges.grey)
    )


def skin_color(tone: float) -> Rgb:
    light, dark = np.array([0.95, 0.80, 0.70]), np.array([0.27, 0.17, 0.12])
    red, green, blue = light + tone * (dark - light)
    return float(red), float(green), float(blue)


@dataclass(frozen=True)
class PersonLook:
    height_m: float
    build: float
    stride: float
    swing: float
    skin: Rgb
    hair: Rgb
    shirt: Rgb
    sleeves: Rgb  # bare arms have the skin's colour
    trousers: Rgb
    shoes: Rgb


def draw_person(rng: np.random.Generator, style: Style) -> PersonLook:
    ranges = RANGES[style]
    skin = skin_color(draw(rng, ranges.skin))
    shirt = draw_color(rng, ranges)
    return PersonLook(
        height_m=draw(rng, ranges.height_m),
        build=draw(rng, ranges.build),
        stride=draw(rng, ranges.stride),
        swing=draw(rng, ranges.swing),
        skin=skin,
        hair=draw_color(rng, ranges, grey_share=0.6),
        shirt=shirt,
        sleeves=skin if rng.random() < 0.35 else shirt,
        trousers=draw_color(rng, ranges, grey_share=0.5),
        shoes=draw_color(rng, ranges, grey_share=0.7),
    )


@dataclass(frozen=True)
class RoomLook:
    floor: Rgb
    pattern: int  # which floor material: plain or one of the textures
    wall: Rgb
    table: Rgb
    bin: Rgb
    tray: Rgb
    light: float
    ambient: float
    azimuth_rad: float
    elevation_rad: float


def draw_room(rng: np.random.Generator, style: Style, patterns: int) -> RoomLook:
    ranges = RANGES[style]
    return RoomLook(
        floor=draw_pale(rng, ranges),
        pattern=int(rng.integers(patterns)),
        wall=draw_pale(rng, ranges),
        table=draw_pale(rng, ranges),
        bin=draw_color(rng, ranges),
        tray=draw_color(rng, ranges),
        light=draw(rng, ranges.light),
        ambient=draw(rng, ranges.ambient),
        azimuth_rad=draw(rng, ranges.azimuth_rad),
        elevation_rad=float(rng.uniform(0.7, 1.4)),
    )
