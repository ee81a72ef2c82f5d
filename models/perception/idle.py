"""The longest time between full looks in a cell at rest, which no 4.5 s walk can show."""

import numpy as np

from models.perception.policies import ALL
from models.perception.walks import PERIOD_NS, Noise, Recording
from runtime.perception.arm import ArmMask, ArmShape
from runtime.perception.eye import CellEye, EyeSettings, Surroundings
from runtime.perception.geometry import View
from runtime.perception.level import Level

SECONDS = 60


def longest_gap_ms(
    recordings: list[Recording], settings: EyeSettings, view: View, shape: ArmShape
) -> float:
    """Each recording's first picture for a minute, with noise drawn anew for every frame: the arm
    rests, nobody comes, and only time calls level 3."""
    longest_ns = 0
    for seed, recording in enumerate(recordings):
        eye = CellEye(settings, view, ArmMask(shape, view, 2))
        still = Recording(
            recording.rgb[:1],
            recording.depth_mm[:1],
            recording.arm_q_rad[:1],
            np.zeros(1, np.float32),
            recording.pixels[:1],
            recording.position_m[:1],
        )
        longest_ns = max(longest_ns, _gap_ns(eye, still, seed))
    return longest_ns / 1e6


def _gap_ns(eye: CellEye, still: Recording, seed: int) -> int:
    noise = Noise(still, seed)
    around = Surroundings(still.arm_q_rad[0].astype(np.float64), 0.0, high_value=False, allowed=ALL)
    last_ns, longest_ns = 0, 0
    for frame in range(SECONDS * 30):
        now_ns = frame * PERIOD_NS
        depth = noise.depth(0, draw=frame)
        runs = eye.open(depth, now_ns, around).run
        eye.take(Level.FAST, now_ns, [], now_ns)
        runs |= eye.close(now_ns).run
        if Level.FULL in runs:
            eye.take(Level.FULL, now_ns, [], now_ns)
            longest_ns, last_ns = max(longest_ns, now_ns - last_ns), now_ns
    return longest_ns
