"""The what-if table comes from the deciding code and covers every mode."""

import json

from typer.testing import CliRunner

from conf.load import compose
from conf.schema.modes import ModeName
from runtime.cli import app
from runtime.whatif import SCENARIOS, whatif


def test_whatif_covers_every_mode():
    rows = whatif(compose().config.modes)
    assert {name for row in rows for name in row.modes} == {mode.value for mode in ModeName}


def test_whatif_all_is_well_is_nominal_and_nothing_else_is_freer():
    rows = {row.scenario: row for row in whatif(compose().config.modes)}
    assert rows["all is well"].modes == ("nominal",)
    assert rows["all is well"].effects.behaviour.speed_scale == 1.0
    assert rows["GPU gone, workspace unknown"].effects.behaviour.speed_scale == 0.0


def test_whatif_json_has_one_entry_a_scenario():
    result = CliRunner().invoke(app, ["whatif", "--json"])
    assert result.exit_code == 0, result.output
    assert [row["scenario"] for row in json.loads(result.output)] == [s.name for s in SCENARIOS]


def test_whatif_table_names_each_scenario():
    result = CliRunner().invoke(app, ["whatif"])
    assert result.exit_code == 0, result.output
    for scenario in SCENARIOS:
        assert scenario.name in result.output
