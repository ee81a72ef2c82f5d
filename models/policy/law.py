"""Speeds and heights of the expert's motion, the length of its answers; no training library."""

from typing import NamedTuple

STEP_S = 0.01
CHUNK_STEPS = 16
EXECUTE_STEPS = 8


class Law(NamedTuple):
    """All in SI units."""

    speed_m_s: float = 0.55
    lift_speed_m_s: float = 0.45
    contact_speed_m_s: float = 0.03
    press_m: float = 0.014  # how far below the detected top the cup may seek contact
    hover_m: float = 0.07
    transport_m: float = 0.20  # height of the cup above the base while carrying across walls
    funnel_m: float = 0.005  # lateral error inside which the descent begins
    joint_velocity_rad_s: float = 1.0
    joint_acceleration_rad_s2: float = 4.0
