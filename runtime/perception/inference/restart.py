"""When a lost worker is started again, decided from counts and times alone."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class RestartRule:
    first_delay_ns: int
    max_delay_ns: int
    offline_after: int  # losses in a row after which the device counts as gone

    def delay_ns(self, losses: int) -> int:
        """Doubles with each loss in a row."""
        return min(self.max_delay_ns, self.first_delay_ns << min(max(0, losses - 1), 40))


@dataclass(frozen=True)
class RestartState:
    losses: int = 0  # in a row: one good run forgets them
    restart_at_ns: int | None = None  # None: nothing to start

    def lost(self, rule: RestartRule, now_ns: int) -> "RestartState":
        losses = self.losses + 1
        return RestartState(losses, now_ns + rule.delay_ns(losses))

    def started(self) -> "RestartState":
        return replace(self, restart_at_ns=None)

    def ran(self) -> "RestartState":
        return RestartState() if self.losses else self

    def is_due(self, now_ns: int) -> bool:
        return self.restart_at_ns is not None and now_ns >= self.restart_at_ns

    def is_offline(self, rule: RestartRule) -> bool:
        return self.losses >= rule.offline_after
