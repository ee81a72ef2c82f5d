import json
import pickle
import random
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.load import compose
from conf.profile import (
    ProfileError,
    canonical,
    dump,
    hash_sections,
    parse_profile,
    profile_bytes,
    read_profile,
    sha256_of,
    write_profile,
)
from conf.schema import Config
from conf.sources import Origins
from conf.validate import validate

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def shuffled(value, seed):
    if isinstance(value, dict):
        items = [(key, shuffled(inner, seed)) for key, inner in value.items()]
        random.Random(seed).shuffle(items)
        return dict(items)
    return [shuffled(inner, seed) for inner in value] if isinstance(value, list) else value


@given(value=JSON, seed=st.integers())
def test_hash_does_not_depend_on_the_order_of_keys(value, seed):
    assert sha256_of(shuffled(value, seed)) == sha256_of(value)


def test_canonical_form_is_sorted_and_compact():
    assert canonical({"b": [1, 2.5], "a": None}) == b'{"a":null,"b":[1,2.5]}'


def without_tests(config: Config) -> Config:
    """As robots and the fleet have it: alert rules are proven before, where they are written."""
    return config.model_copy(update={"alerts": config.alerts.model_copy(update={"tests": {}})})


def test_written_profile_reads_back_equal(composed, tmp_path):
    write_profile(composed.config, tmp_path / "run" / "profile.json")
    assert read_profile(tmp_path / "run" / "profile.json") == without_tests(composed.config)
    assert list((tmp_path / "run").iterdir()) == [tmp_path / "run" / "profile.json"]


def test_profile_in_any_order_of_keys_is_the_same_configuration(composed, tmp_path):
    data = shuffled(json.loads(profile_bytes(composed.config)), 7)
    again = parse_profile(json.dumps(data).encode(), where=tmp_path)
    assert again == without_tests(composed.config)
    assert profile_bytes(again) == profile_bytes(composed.config)


def test_test_of_a_rule_changes_no_hash_and_the_rule_does(composed):
    alerts = composed.config.alerts
    assert alerts.tests
    assert b'"expect":' not in profile_bytes(composed.config)
    hashes = hash_sections(dump(composed.config))
    assert hash_sections(dump(without_tests(composed.config))) == hashes
    hot = alerts.rules["motor_hot"].model_copy(update={"above": 69.0})
    other = alerts.model_copy(update={"rules": {**alerts.rules, "motor_hot": hot}})
    changed = composed.config.model_copy(update={"alerts": other})
    assert hash_sections(dump(changed)) != hashes


@cache
def base_profile() -> bytes:
    return profile_bytes(compose().config)


@given(
    speed=st.floats(0.05, 1.0),
    retries=st.integers(0, 10),
    effort=st.floats(0.2, 1.0),
    uplink=st.floats(2000, 1e6),
    title=st.text(max_size=80),
)
def test_any_valid_configuration_survives_dump_and_load(speed, retries, effort, uplink, title):
    data = json.loads(base_profile())
    del data["config_hash"], data["unit_hash"]
    data["robot"]["limits"]["tool_speed_m_s"] = speed
    data["policy"]["retries"] = retries
    data["unit"]["derating"]["effort_ratio"] = effort
    data["facility"]["network"]["uplink_kbps"] = uplink
    data["facility"]["title"] = title.encode("utf-8", "replace").decode()
    config, mistakes = validate(data, Origins())
    assert mistakes == []
    assert config is not None
    # One assertion without a rewritten comparison: a configuration is long to print.
    again = parse_profile(profile_bytes(config), where=Path("profile.json"))
    assert (again == config) is True


def test_configuration_survives_pickling_and_stays_frozen(composed):
    again: Config = pickle.loads(pickle.dumps(composed.config))
    assert again == composed.config
    with pytest.raises(TypeError, match="frozen"):
        again.robot.limits.joints["j1"] = again.robot.limits.joints["j2"]
    with pytest.raises(Exception, match="frozen"):
        again.robot.limits.tool_speed_m_s = 3.0


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda raw: raw[: len(raw) // 2], "Invalid JSON"),
        (lambda raw: raw.replace(b'"retries":2', b'"retries":3'), "hash"),
        (lambda raw: raw.replace(b'"robot_id":"osaka-01"', b'"robot_id":"osaka-02"'), "hash"),
        (lambda raw: raw.replace(b'"retries":2', b'"retrys":2'), "retrys"),
        (lambda raw: raw.replace(b'"retries":2', b'"retries":-2'), "policy.retries"),
        (lambda raw: b"", "Invalid JSON"),
        (lambda raw: b"\xff\xfe\x00", "Invalid JSON"),
        (lambda raw: b"[" * 100_000, "Invalid JSON"),
    ],
)
def test_spoilt_profile_is_refused_with_file_and_reason(composed, tmp_path, spoil, said):
    file = tmp_path / "profile.json"
    file.write_bytes(spoil(profile_bytes(composed.config)))
    with pytest.raises(ProfileError, match=said) as caught:
        read_profile(file)
    assert str(file) in str(caught.value)
    assert "try  bedplate config compile" in str(caught.value)


def test_missing_profile_is_refused(tmp_path):
    with pytest.raises(ProfileError, match="No such file"):
        read_profile(tmp_path / "profile.json")


@given(raw=st.binary(max_size=200))
def test_arbitrary_bytes_are_no_profile(tmp_path, raw):
    with pytest.raises(ProfileError):
        parse_profile(raw, where=tmp_path)


def test_hash_is_the_same_in_every_run(composed):
    assert compose().hash == composed.hash
