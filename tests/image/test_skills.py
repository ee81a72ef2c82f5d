"""Skills on a new robot's data partition: what the robot would refuse never gets there."""

import pytest

from image.refusal import BuildRefused
from image.skills import KEYS, SKILLS, shipped_skill, skill_entries
from image.steps.accounts import robot_accounts
from runtime.processes import PROCESSES
from runtime.skills.cache import SkillCache
from runtime.skills.signature import write_key_pair


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    return shipped_skill("panda", tmp_path_factory.mktemp("shipped"))


def lay_down(given, root):
    for entry in given:
        path = root / entry.path
        if entry.data is None:
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.write_bytes(entry.data)


def test_what_is_laid_down_is_a_cache_that_the_robot_loads(shipped, tmp_path):
    archive, key = shipped
    lay_down(skill_entries([archive], [key], "panda"), tmp_path)
    cache = SkillCache.open(tmp_path / SKILLS, tmp_path / KEYS)
    found = cache.find("pick_place")
    assert found is not None
    assert cache.load(found).manifest.arm == "panda"


def test_cache_belongs_to_the_agent_and_the_publishers_keys_to_root(shipped):
    numbers = {account.name: account.number for account in robot_accounts(PROCESSES)}
    archive, key = shipped
    for entry in skill_entries([archive], [key], "panda"):
        agents = entry.path.startswith(SKILLS)
        assert entry.uid == (numbers["bedplate-agentd"] if agents else 0)
        assert entry.mode & 0o022 == 0


def test_skill_of_another_arm_is_refused_before_anything_is_written(shipped):
    archive, key = shipped
    with pytest.raises(BuildRefused, match="panda"):
        skill_entries([archive], [key], "ur5e")


def test_skill_of_an_unknown_publisher_is_refused(shipped, tmp_path):
    archive, _ = shipped
    write_key_pair(tmp_path / "other.pem", tmp_path / "other.pub.pem")
    with pytest.raises(BuildRefused, match="--skill-key"):
        skill_entries([archive], [tmp_path / "other.pub.pem"], "panda")


def test_without_skills_nothing_is_added():
    assert skill_entries([], [], "panda") == []
