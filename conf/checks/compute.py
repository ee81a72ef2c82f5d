"""The compute budget: what fires at once must fit the accelerator."""

from collections.abc import Iterator
from typing import Final

from conf.mistake import Mistake, unplaced
from conf.schema import Config
from conf.schema.hardware import ComputeRow, Execution, Placement

COMPUTE_ROWS: Final = ("level_1", "level_2", "level_3", "policy", "safety", "planning")


def check_compute(config: Config) -> Iterator[Mistake]:
    """Everything placed on the robot fits its accelerator when all of it fires at once."""
    compute = config.hardware.compute
    for name in COMPUTE_ROWS:
        if name not in compute.shares:
            yield unplaced(
                "hardware.compute.shares",
                f"no row {name}",
                f"a row for each of {', '.join(COMPUTE_ROWS)}",
                "a demand that is not stated cannot be checked against the budget",
                f"{name}: {{tflops: …, rate_hz: …}}",
            )
    here = {k: row for k, row in compute.shares.items() if row.placement is Placement.ROBOT}
    together = {k: row for k, row in here.items() if row.execution is Execution.TOGETHER}
    total = sum(row.tflops for row in together.values())
    if total > compute.fp16_tflops:
        worst = max(together, key=lambda name: together[name].tflops)
        terms = " + ".join(f"{name} {row.tflops:g}" for name, row in together.items())
        yield unplaced(
            f"hardware.compute.shares.{worst}.tflops",
            f"{total:g} TFLOPS when all fire at once ({terms})",
            f"at most {compute.fp16_tflops:g}, the board's",
            "late results are dropped, so the level would be blind exactly when all are wanted",
            f"{worst}: placement: edge, or execution: model_by_model with a deadline it can meet",
        )
        return
    for name, row in here.items():
        if row.execution is Execution.MODEL_BY_MODEL:
            yield from _model_by_model(config, name, row, compute.fp16_tflops - total)


def _model_by_model(
    config: Config, name: str, row: ComputeRow, free_tflops: float
) -> Iterator[Mistake]:
    """One model after the other on what is left: a pass takes longer, and must still be in time."""
    level = config.perception.levels.get(name)
    path = f"hardware.compute.shares.{name}.execution"
    if level is None:
        return
    pass_ms = 1000 * row.tflops / row.rate_hz / free_tflops if free_tflops > 0 else float("inf")
    allowed_ms = min(level.deadline_ms, 1000 / level.rate_hz)
    if pass_ms > allowed_ms:
        yield unplaced(
            path,
            f"{pass_ms:.0f} ms a pass on the {free_tflops:g} TFLOPS that are left",
            f"at most {allowed_ms:.0f} ms, by deadline and rate of {name}",
            "every result would be late, and late results are dropped",
            f"{name}: placement: edge, or a lower rate_hz and a longer deadline_ms in perception",
        )


def check_compute_rows(config: Config) -> Iterator[Mistake]:
    """A row's models add up to it, and levels run no faster than the rate it is stated for."""
    for name, row in config.hardware.compute.shares.items():
        total = sum(model.tflops for model in row.models.values())
        if row.models and abs(total - row.tflops) > 1e-6 * row.tflops:
            yield unplaced(
                f"hardware.compute.shares.{name}.tflops",
                f"{row.tflops:g}",
                f"{total:g}, the sum of its models",
                "the budget is checked with the row, and the schedule with its models",
                f"tflops: {total:g}",
            )
    for name, level in config.perception.levels.items():
        row = config.hardware.compute.shares.get(name)
        if row is not None and level.rate_hz > row.rate_hz:
            yield unplaced(
                f"perception.levels.{name}.rate_hz",
                f"{level.rate_hz:g}",
                f"at most {row.rate_hz:g}, the rate its compute share is stated for",
                "the level would draw more than the budget knows of",
                f"rate_hz: {row.rate_hz:g}, or state hardware.compute.shares.{name} anew",
            )
