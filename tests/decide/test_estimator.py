"""The estimator on a noisy MuJoCo run, through the control cycle, against a differentiator."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
import pytest

from runtime.shm import Core, Shm
from sim.robot_model import ARMS
from tests.decide.arms import Array, Twin

MS = 1_000_000
CYCLES = 4_000
SETTLED = 500
CUTOFFS_HZ = (3.0, 6.0, 10.0, 15.0, 22.0, 33.0, 50.0, 80.0)


@dataclass(frozen=True)
class Run:
    """True and measured positions, velocities and torques, a row each ms."""

    q: Array
    qd: Array
    tau_ext: Array
    q_seen: Array
    qd_seen: Array
    tau_seen: Array


def record(arm: Twin, seed: int) -> Run:
    """All joints swing under PD drives, with a push in between; everything measured is noisy."""
    rng = np.random.default_rng(seed)
    n, facts, noise = arm.joints, ARMS[arm.arm], arm.control["estimator"]
    data = mujoco.MjData(arm.model)
    home = np.array(arm.control["home_rad"])
    data.qpos[:] = home
    rate = 2 * np.pi * (0.3 + 0.07 * np.arange(n))
    phase = rng.uniform(0, 2 * np.pi, n)
    rows: list[list[Array]] = [[] for _ in range(4)]
    for cycle in range(CYCLES):
        t = cycle * 1e-3
        swing = 0.2 * min(t / 0.5, 1.0)
        wanted = home + swing * (np.sin(rate * t + phase) - np.sin(phase))
        wanted_qd = swing * rate * np.cos(rate * t + phase)
        mujoco.mj_forward(arm.model, data)
        tau = np.array(facts.stiffness_nm_rad) * (wanted - data.qpos) + data.qfrc_bias
        tau += np.array(facts.damping_nms_rad) * (wanted_qd - data.qvel)
        push = np.zeros(n)
        push[1] = 15.0 if 2_000 <= cycle < 2_500 else 0.0
        data.qfrc_applied[:] = tau + push
        mujoco.mj_step(arm.model, data)
        for row, value in zip(rows, (data.qpos, data.qvel, tau, push), strict=True):
            row.append(np.array(value))
    q, qd, tau, tau_ext = (np.array(row) for row in rows)
    step = noise["position_noise_rad"]
    return Run(
        q,
        qd,
        tau_ext,
        np.round((q + rng.normal(scale=step, size=q.shape)) / step) * step,
        qd + rng.normal(scale=noise["velocity_noise_rad_s"], size=q.shape),
        tau + rng.normal(scale=noise["torque_noise_nm"], size=q.shape),
    )


@pytest.fixture
def shm_dir() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="bedplate-test-", dir="/dev/shm"))
    yield directory
    shutil.rmtree(directory)


def estimate(arm: Twin, run: Run, shm_dir: Path, control: Path) -> tuple[Array, Array, Array]:
    """What the control process believes, given the measurements."""
    core, shm = Core(arm.write_control(control), shm_dir, 1), Shm(shm_dir)
    sensors, state = shm.writer("hal.sensors"), shm.reader("state")
    out = np.zeros((3, *run.q.shape))
    now_ns = 1_000 * MS
    for k in range(CYCLES):
        sensors.write(
            created_ns=now_ns,
            powered=1,
            motor_temp_c=np.full(8, 40.0),
            q=padded(run.q_seen[k]),
            qd=padded(run.qd_seen[k]),
            tau=padded(run.tau_seen[k]),
        )
        core.cycle(now_ns)
        latest = state.latest()
        assert latest is not None
        for index, name in enumerate(("q", "qd", "tau_ext")):
            out[index, k] = latest[name][: arm.joints]
        now_ns += MS
    return out[0], out[1], out[2]


def padded(values: Array) -> Array:
    return np.concatenate([values, np.zeros(8 - len(values))])


def rms(error: Array) -> float:
    return float(np.sqrt(np.mean(error[SETTLED:] ** 2)))


def low_pass(values: Array, cutoff_hz: float) -> Array:
    gain = 1 - np.exp(-2 * np.pi * cutoff_hz * 1e-3)
    out, state = np.empty_like(values), values[0]
    for k, value in enumerate(values):
        state = state + gain * (value - state)
        out[k] = state
    return out


def differentiate(positions: Array) -> Array:
    return np.vstack([np.zeros(positions.shape[1]), np.diff(positions, axis=0) * 1e3])


def test_estimate_beats_a_tuned_differentiator_on_a_noisy_run(
    arm: Twin, shm_dir: Path, tmp_path: Path
) -> None:
    tuning, run = record(arm, seed=1), record(arm, seed=2)
    q, qd, tau_ext = estimate(arm, run, shm_dir, tmp_path / "control.json")
    raw = differentiate(tuning.q_seen)
    best = min(CUTOFFS_HZ, key=lambda hz: rms(low_pass(raw, hz) - tuning.qd))
    rival = rms(low_pass(differentiate(run.q_seen), best) - run.qd)
    print(
        f"{arm.arm}: position {rms(q - run.q):.1e} rad, velocity {rms(qd - run.qd):.4f} rad/s "
        f"(differentiator at {best:g} Hz: {rival:.4f}), torque {rms(tau_ext - run.tau_ext):.2f} Nm"
    )
    assert rms(q - run.q) < rms(run.q_seen - run.q)
    assert rms(qd - run.qd) < rms(run.qd_seen - run.qd)
    assert rms(qd - run.qd) < 0.5 * rival
    pushed, free = tau_ext[2_100:2_500, 1].mean(), tau_ext[1_000:1_900, 1].mean()
    assert abs(pushed - free - 15.0) < 2.0
