"""Two networks, both warm.

The primary answers; when it is late, fails or talks nonsense, the backup answers within the same
control step, and the primary has to prove itself again before it returns.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from runtime.policy.chunk import Chunk
from runtime.policy.kinematics import Array
from runtime.shm import ActivePolicy, PolicyReason
from runtime.skills.manifest import ModelFile
from runtime.skills.verify import CHUNK_OUTPUT, OBSERVATION_INPUT, Skill, open_session

PROOFS_TO_RETURN = 50
SHADOW_EVERY = 25  # inferences between two runs of the network that is not driving


class Network(Protocol):
    """From an observation to an array of steps × (joints + 1)."""

    def __call__(self, observation: Array) -> Array: ...


@dataclass(frozen=True)
class Answer:
    chunk: Chunk | None
    active: ActivePolicy
    reason: PolicyReason
    inference_ns: int


@dataclass(frozen=True)
class Duty:
    """Who drives, and how often in a row the suspended primary has been right in the shadow."""

    active: ActivePolicy = ActivePolicy.PRIMARY
    proofs: int = 0
    turns: int = 0


def after_run(duty: Duty, reason: PolicyReason) -> Duty:
    """The primary's last run, driving or in the shadow, decides who drives next."""
    if reason is not PolicyReason.NONE:
        return replace(duty, active=ActivePolicy.BACKUP, proofs=0)
    if duty.active is ActivePolicy.PRIMARY:
        return duty
    proofs = duty.proofs + 1
    if proofs >= PROOFS_TO_RETURN:
        return replace(duty, active=ActivePolicy.PRIMARY, proofs=0)
    return replace(duty, proofs=proofs)


class Inference:
    """Runs networks against their deadline on a clock that is handed in."""

    def __init__(
        self,
        primary: Network,
        backup: Network | None,
        *,
        deadline_ns: int,
        execute_steps: int,
        now: Callable[[], int],
    ) -> None:
        self._primary = primary
        self._backup = backup
        self._deadline_ns = deadline_ns
        self._execute_steps = execute_steps
        self._now = now
        self.duty = Duty()

    def answer(self, observation: Array) -> Answer:
        """A chunk by whoever is on duty; no chunk only when nobody has a sound one."""
        self.duty = replace(self.duty, turns=self.duty.turns + 1)
        first: Answer | None = None
        if self.duty.active is ActivePolicy.PRIMARY or self._backup is None:
            first = self._run(self._primary, ActivePolicy.PRIMARY, observation)
            self.duty = after_run(self.duty, first.reason)
            if first.reason is PolicyReason.NONE or self._backup is None:
                self._shadow_backup(observation)
                return first
        assert self._backup is not None
        answer = self._run(self._backup, ActivePolicy.BACKUP, observation)
        if first is None:
            self._shadow_primary(observation)
            return answer
        # Why the backup had to drive is worth more to the reader than that it did well.
        reason = first.reason if answer.chunk is not None else answer.reason
        return replace(answer, reason=reason, inference_ns=first.inference_ns + answer.inference_ns)

    def _shadow_primary(self, observation: Array) -> None:
        shadow = self._run(self._primary, ActivePolicy.PRIMARY, observation)
        self.duty = after_run(self.duty, shadow.reason)

    def _shadow_backup(self, observation: Array) -> None:
        """Kept warm: its weights stay in the caches, and a fault shows before it is needed."""
        if self._backup is not None and self.duty.turns % SHADOW_EVERY == 0:
            self._run(self._backup, ActivePolicy.BACKUP, observation)

    def _run(self, network: Network, who: ActivePolicy, observation: Array) -> Answer:
        started_ns = self._now()
        try:
            found = network(observation)
        except Exception:  # noqa: BLE001 - onnxruntime raises many types; each means: no answer
            return Answer(None, who, PolicyReason.INFERENCE_FAILED, self._now() - started_ns)
        took_ns = self._now() - started_ns
        if found.ndim != 2 or not np.all(np.isfinite(found)):
            return Answer(None, who, PolicyReason.INFERENCE_FAILED, took_ns)
        chunk = Chunk(found[:, :-1], found[:, -1], self._execute_steps)
        late = took_ns > self._deadline_ns
        reason = PolicyReason.INFERENCE_LATE if late else PolicyReason.NONE
        return Answer(chunk, who, reason, took_ns)


def load_network(skill: Skill, model: ModelFile) -> Network:
    """A session that has run once: the first run allocates, later ones do not."""
    session = open_session(skill.files[model.file])

    def run(observation: Array) -> Array:
        feed = {OBSERVATION_INPUT: observation.astype(np.float32)[None]}
        return np.asarray(session.run([CHUNK_OUTPUT], feed)[0], np.float64)[0]

    run(np.zeros(model.observation_size))
    return run


def load_inference(skill: Skill, *, deadline_ns: int, now: Callable[[], int]) -> Inference:
    manifest = skill.manifest
    backup = manifest.backup
    return Inference(
        load_network(skill, manifest.policy),
        None if backup is None else load_network(skill, backup),
        deadline_ns=deadline_ns,
        execute_steps=manifest.execute_steps,
        now=now,
    )
