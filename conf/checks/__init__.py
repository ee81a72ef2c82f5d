"""What must hold between settings, each of which is valid alone. One pure function a rule."""

from collections.abc import Callable, Iterator
from typing import Final

from conf.checks.alerts import check_alert_routes, check_alert_rules, check_alert_tests
from conf.checks.board import (
    check_affinity,
    check_can,
    check_disk,
    check_misses,
    check_priorities,
    check_threads_exist,
)
from conf.checks.cell import (
    check_cameras,
    check_keep_outs,
    check_model,
    check_ranges,
    check_rates,
    check_reach,
    check_stand_ins,
    check_stopping,
)
from conf.checks.compute import (
    check_compute,
    check_compute_rows,
)
from conf.checks.traffic import (
    check_spool,
    check_uplink,
)
from conf.mistake import Mistake
from conf.schema import Config

Check = Callable[[Config], Iterator[Mistake]]

CHECKS: Final[tuple[Check, ...]] = (
    check_threads_exist,
    check_affinity,
    check_priorities,
    check_compute,
    check_compute_rows,
    check_disk,
    check_spool,
    check_uplink,
    check_can,
    check_ranges,
    check_misses,
    check_stopping,
    check_keep_outs,
    check_reach,
    check_model,
    check_cameras,
    check_stand_ins,
    check_rates,
    check_alert_rules,
    check_alert_tests,
    check_alert_routes,
)


def cross_check(config: Config) -> list[Mistake]:
    """Every problem that any check finds."""
    return [problem for check in CHECKS for problem in check(config)]
