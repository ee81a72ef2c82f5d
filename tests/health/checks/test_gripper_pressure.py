from runtime.health.checks.gripper_pressure import CHECK


def test_gripper_pressure_is_what_tier_1_published(bench, state_of):
    bench.state = state_of(gripper_pressure_kpa=61.5, gripper_holding=1)
    measured = CHECK.make_probe()(bench.sources)
    assert (measured.value, measured.note) == (61.5, "holding")


def test_gripper_pressure_without_state_is_unknown(bench):
    bench.state = None
    assert CHECK.make_probe()(bench.sources).value is None
