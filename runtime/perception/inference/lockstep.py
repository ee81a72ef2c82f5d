"""Inference in the caller's thread with declared latencies: the same run, the same bytes."""

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.perception.inference.card import CardError
from runtime.perception.inference.port import (
    Health,
    Ledger,
    Outcome,
    Request,
    Result,
    Session,
    Tensors,
)


@dataclass(frozen=True)
class _Pending:
    request: Request
    tensors: Tensors | None
    reason: str
    submitted_ns: int
    ready_ns: int


class LockstepInference:
    """Computes at once, delivers when the declared latency has passed on the caller's clock."""

    def __init__(self, sessions: Mapping[str, Session], latency_ns: Mapping[str, int]) -> None:
        self.ledger = Ledger()
        self._sessions = sessions
        self._latency_ns = latency_ns
        self._pending: list[_Pending] = []
        self._free_ns = 0  # the imitated device does one thing after the other
        self._slowdown = 1.0

    def health(self, now_ns: int) -> Health:
        return Health.OK

    def submit(self, request: Request, now_ns: int) -> bool:
        counters = self.ledger.of(request.network)
        if any(_same_slot(held.request, request) for held in self._pending):
            counters.refused += 1
            return False
        counters.submitted += 1
        tensors, reason = self._run(request)
        took_ns = round(self._latency_ns[request.network] * self._slowdown)
        self._free_ns = max(self._free_ns, now_ns) + took_ns
        self._pending.append(_Pending(request, tensors, reason, now_ns, self._free_ns))
        return True

    def poll(self, now_ns: int, wait_ns: int = 0) -> list[Result]:
        until_ns = now_ns + wait_ns
        ready = [held for held in self._pending if held.ready_ns <= until_ns]
        self._pending = [held for held in self._pending if held.ready_ns > until_ns]
        return [self._finish(held) for held in ready]

    def set_slowdown(self, ratio: float) -> None:
        self._slowdown = max(1.0, ratio)

    def close(self) -> None:
        self._pending.clear()

    def _run(self, request: Request) -> tuple[Tensors | None, str]:
        session = self._sessions[request.network]
        try:
            session.start(request.tensors)
            return session.collect(), ""
        except CardError as error:
            return None, str(error)

    def _finish(self, held: _Pending) -> Result:
        latency_ns = held.ready_ns - held.submitted_ns
        return settle(
            self.ledger, held.request, held.tensors, held.reason, held.ready_ns, latency_ns
        )


def _same_slot(one: Request, other: Request) -> bool:
    return one.network == other.network and one.tag == other.tag


def settle(
    ledger: Ledger,
    request: Request,
    tensors: Tensors | None,
    reason: str,
    ready_ns: int,
    latency_ns: int,
) -> Result:
    """Count a run that came back; past its deadline its outputs are dropped here, for everyone."""
    counters = ledger.of(request.network)
    counters.latency_ns = latency_ns
    if tensors is None:
        counters.failed += 1
        outcome = Outcome.FAILED
    elif ready_ns > request.deadline_ns:
        counters.late += 1
        outcome, tensors = Outcome.LATE, None
    else:
        counters.done += 1
        outcome = Outcome.DONE
    return Result(
        request.network, request.tag, request.capture_ns, latency_ns, outcome, tensors, reason
    )
