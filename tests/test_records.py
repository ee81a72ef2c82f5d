"""The records that areas hand to each other."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

import records
from records import (
    BootReport,
    BuildManifest,
    CohortSnapshot,
    GroupOutcome,
    Record,
    RolloutDecision,
    RolloutVerdict,
    TelemetryFrame,
)

HASH = "a" * 64
NOW = datetime(2026, 1, 2, tzinfo=UTC)
TRACE = {"config_hash": HASH, "artifact_name": "bedplate-1"}


@pytest.mark.parametrize(
    "record", [BuildManifest, BootReport, TelemetryFrame, CohortSnapshot, RolloutDecision]
)
def test_record_is_frozen_and_leads_back_to_its_profile(record):
    assert issubclass(record, Record)
    assert {"config_hash", "artifact_name"} <= set(record.model_fields)
    assert record.model_config["frozen"]
    assert record.model_config["extra"] == "forbid"


def test_six_records_are_declared():
    assert {
        "Config",
        "BuildManifest",
        "BootReport",
        "TelemetryFrame",
        "CohortSnapshot",
        "RolloutDecision",
    } <= set(records.__all__)


def decision(**changes: object) -> RolloutDecision:
    values = {
        **TRACE,
        "rollout": "r1",
        "phase": "canary",
        "verdict": RolloutVerdict.HOLD,
        "reasons": ("too few tasks",),
        "decided_at": NOW,
    }
    return RolloutDecision(**{**values, **changes})


def test_record_survives_json():
    again = RolloutDecision.model_validate_json(decision().model_dump_json())
    assert again == decision()


def test_record_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        decision().verdict = RolloutVerdict.PROMOTE


@pytest.mark.parametrize(
    "change",
    [
        {"config_hash": "abc"},
        {"reasons": ()},
        {"verdict": "perhaps"},
        {"decided_at": datetime(2026, 1, 2)},
        {"surprise": 1},
    ],
)
def test_wrong_record_is_refused(change):
    with pytest.raises(ValidationError):
        decision(**change)


def test_unknown_success_is_not_zero():
    group = GroupOutcome(
        robots=("a",), tasks_done=0, tasks_failed=0, safety_stops=0, records_missing=0, success=None
    )
    assert group.success is None
