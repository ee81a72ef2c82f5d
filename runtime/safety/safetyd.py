"""safetyd: a second opinion a hundred times a second, in a process of its own.

It restricts or vetoes on surprise. It never approves: without it Tier 1 keeps the arm slow.
"""

import logging

from records import Severity
from runtime.daemon import Context, run_daemon
from runtime.safety.features import sample_of
from runtime.safety.model import SafetyModel, SafetyModelError, load_model
from runtime.safety.monitor import Hysteresis, Monitor, observe, without_news
from runtime.shm import ExecState, Verdict

log = logging.getLogger(__name__)

STATE_STALE_NS = 50_000_000
STALE_AFTER_STEPS = 3
STEP_NS = 10_000_000


class SafetyDaemon:
    rate_hz = 100.0

    def __init__(self, context: Context, model: SafetyModel | None) -> None:
        settings = context.config.policy.safety
        self._model = model
        self._joints = len(context.config.robot.home_rad)
        self._telemetry = context.telemetry
        self._state = context.shm.state_reader()
        self._out = context.shm.writer("verdict")
        self._rule = Hysteresis(release_ns=settings.release_ms * 1_000_000)
        self._restrict_scale = settings.restrict_speed_scale
        self._monitor = Monitor()
        self._told = Verdict.UNKNOWN

    def step(self, now_ns: int) -> None:
        state = self._state.latest()
        if self._model is None or state is None or int(state["exec_state"]) == ExecState.STARTING:
            # Before the first sensors there is no arm to be surprised by.
            self._publish(Verdict.UNKNOWN, 0, now_ns)
            return
        epoch, created_ns = int(state["epoch"]), int(state["created_ns"])
        if now_ns - created_ns > STATE_STALE_NS:
            # Nothing new to judge: whatever was restricted stays so, the rest is not known.
            self._monitor = Monitor(verdict=without_news(self._monitor.verdict))
        elif not self._is_seen(created_ns):
            sample = sample_of(state, self._joints)
            self._monitor = observe(
                self._monitor, sample, self._model.predict, self._model.calibration, self._rule
            )
        self._publish(self._monitor.verdict, epoch, now_ns)

    def close(self) -> None:
        self._monitor = Monitor()

    def _is_seen(self, created_ns: int) -> bool:
        samples = self._monitor.samples
        return bool(samples) and samples[-1].created_ns == created_ns

    def _publish(self, verdict: Verdict, epoch: int, now_ns: int) -> None:
        self._out.write(
            epoch=epoch,
            created_ns=now_ns,
            expires_ns=now_ns + STALE_AFTER_STEPS * STEP_NS,
            verdict=int(verdict),
            speed_scale=speed_of(verdict, self._restrict_scale),
            surprise=self._monitor.surprise,
        )
        if verdict is not self._told:
            self._told = verdict
            severity = Severity.WARNING if verdict >= Verdict.RESTRICT else Severity.INFO
            fields = {"verdict": verdict.name.lower(), "surprise": self._monitor.surprise}
            self._telemetry.event("safety.verdict_changed", severity, fields)


def speed_of(verdict: Verdict, restrict_scale: float) -> float:
    match verdict:
        case Verdict.OK:
            return 1.0
        case Verdict.RESTRICT | Verdict.UNKNOWN:
            return restrict_scale
        case Verdict.VETO:
            return 0.0


def build(context: Context) -> SafetyDaemon:
    config = context.config
    try:
        model = load_model(
            config.policy.safety.model, config.robot.arm.kind.value, len(config.robot.home_rad)
        )
    except SafetyModelError as error:
        log.error("%s", error)
        context.telemetry.event("safety.model_refused", Severity.CRITICAL, {"detail": str(error)})
        model = None
    return SafetyDaemon(context, model)


if __name__ == "__main__":
    run_daemon("safetyd", build)
