"""A hundred skills, least recently used first out, whole after any end of the process."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.skills import durable
from runtime.skills.cache import CachedSkill, obtain
from runtime.skills.refusal import RefusalReason, SkillRefusedError


def plant(folder: Path, count: int) -> list[CachedSkill]:
    """Folders as the cache names them; their content is not looked at by listing and evicting."""
    skills = [CachedSkill(f"skill_{i}", "1.0.0", f"{i:064x}") for i in range(count)]
    for skill in skills:
        (folder / skill.folder_name).mkdir(parents=True)
    return skills


def names(cache) -> set[str]:
    return {skill.name for skill in cache.list()}


def test_hundred_skills_stay_and_the_hundred_and_first_drives_out_the_oldest(workshop):
    cache = workshop.cache()
    old = plant(workshop.root / "skills", 100)
    assert len(cache.list()) == 100
    cache.touch(old[0])
    cache.install(workshop.folder(), "panda")
    kept = names(cache)
    assert len(kept) == 100
    assert {"pick_place", "skill_0"} <= kept
    assert "skill_1" not in kept
    assert not (workshop.root / "skills" / old[1].folder_name).exists()


def test_use_decides_the_order(workshop):
    cache = workshop.cache(capacity=2)
    first = cache.install(workshop.folder("a"), "panda")
    cache.install(workshop.folder("b"), "panda")
    found = cache.find("a")
    assert found is not None
    cache.touch(found)
    cache.install(workshop.folder("c"), "panda")
    assert [skill.name for skill in cache.list()] == ["c", "a"]
    assert cache.load(found).digest == first.digest


def test_new_version_becomes_the_one_that_the_name_means(workshop):
    cache = workshop.cache()
    cache.install(workshop.folder(version="1.0.0"), "panda")
    cache.install(workshop.folder(version="1.1.0"), "panda")
    found = cache.find("pick_place")
    assert found is not None
    assert found.version == "1.1.0"
    assert len(cache.list()) == 2


def test_evicted_current_version_gives_way_to_the_one_that_is_left(workshop):
    cache = workshop.cache(capacity=2)
    cache.install(workshop.folder(version="1.0.0"), "panda")
    cache.install(workshop.folder(version="2.0.0"), "panda")
    older = next(skill for skill in cache.list() if skill.version == "1.0.0")
    cache.touch(older)
    cache.install(workshop.folder("other"), "panda")
    found = cache.find("pick_place")
    assert found is not None
    assert found.version == "1.0.0"


def test_order_survives_a_new_process(workshop):
    workshop.cache().install(workshop.folder("a"), "panda")
    workshop.cache().install(workshop.folder("b"), "panda")
    assert [skill.name for skill in workshop.cache().list()] == ["b", "a"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"used": 3}', b'{"used":["x"],"x":1}'])
def test_damaged_index_loses_the_order_but_no_skill(workshop, content):
    cache = workshop.cache()
    cache.install(workshop.folder(), "panda")
    (workshop.root / "skills" / "index.json").write_bytes(content)
    found = workshop.cache().find("pick_place")
    assert found is not None
    assert workshop.cache().load(found).manifest.name == "pick_place"


def test_skill_damaged_on_disk_is_refused_when_loaded_and_mended_by_installing(workshop):
    cache = workshop.cache()
    source = workshop.folder()
    cache.install(source, "panda")
    found = cache.find("pick_place")
    assert found is not None
    (workshop.root / "skills" / found.folder_name / "primary.onnx").write_bytes(b"x")
    with pytest.raises(SkillRefusedError) as caught:
        cache.load(found)
    assert caught.value.reason is RefusalReason.HASH_WRONG
    cache.install(source, "panda")
    assert cache.load(found).manifest.name == "pick_place"


def test_full_disk_is_told_and_leaves_the_old_skill(workshop, monkeypatch):
    cache = workshop.cache()
    old = cache.install(workshop.folder(version="1.0.0"), "panda")

    def no_space(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "write_synced", no_space)
    with pytest.raises(SkillRefusedError) as caught:
        cache.install(workshop.folder(version="1.1.0"), "panda")
    assert caught.value.reason is RefusalReason.STORAGE_FAILED
    monkeypatch.undo()
    found = workshop.cache().find("pick_place")
    assert found is not None
    assert workshop.cache().load(found).digest == old.digest


def test_cached_skill_runs_offline(workshop):
    cache = workshop.cache()
    cache.install(workshop.folder(), "panda")
    skill = obtain(cache, "pick_place", "panda", online=False, fetch=lambda name: None)
    assert skill.manifest.name == "pick_place"


def test_new_skill_offline_is_refused_and_the_cached_ones_are_named(workshop):
    cache = workshop.cache()
    cache.install(workshop.folder(), "panda")

    def fetch(name: str) -> Path | None:
        pytest.fail("nothing is fetched without network")

    with pytest.raises(SkillRefusedError) as caught:
        obtain(cache, "sort_parts", "panda", online=False, fetch=fetch)
    assert caught.value.reason is RefusalReason.NOT_CACHED_OFFLINE
    assert "pick_place" in str(caught.value)
    assert "network" in str(caught.value)


def test_new_skill_online_is_fetched_checked_and_kept(workshop):
    cache = workshop.cache()
    source = workshop.folder("sort_parts")
    obtain(cache, "sort_parts", "panda", online=True, fetch=lambda name: source)
    assert obtain(cache, "sort_parts", "panda", online=False, fetch=lambda name: None)


INSTALLER = """
import sys
from pathlib import Path
from runtime.skills.cache import SkillCache
cache = SkillCache.open(Path(sys.argv[1]), Path(sys.argv[2]))
print("ready", flush=True)
while True:
    for source in sys.argv[3:]:
        cache.install(Path(source), "panda")
        print(".", end="", flush=True)
"""


def test_kill_during_install_leaves_old_or_new(workshop):
    cache = workshop.cache()
    cache.install(workshop.folder(version="1.0.0"), "panda")
    sources = [str(workshop.folder(version=f"1.{i}.0")) for i in range(1, 4)]
    command = [sys.executable, "-c", INSTALLER]
    folders = [str(workshop.root / "skills"), str(workshop.key_folder)]
    for attempt in range(6):
        process = subprocess.Popen(
            [*command, *folders, *sources], stdout=subprocess.PIPE, cwd=Path.cwd()
        )
        assert process.stdout is not None
        process.stdout.readline()
        # Each round strikes at another moment of an install.
        time.sleep(0.02 + 0.013 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for cached in workshop.cache().list():
            assert workshop.cache().load(cached).digest == cached.digest
        assert workshop.cache().find("pick_place") is not None
    workshop.cache().install(Path(sources[0]), "panda")
    leftovers = list((workshop.root / "skills").glob(".incoming-*"))
    assert leftovers == []


def test_two_writers_do_not_lose_each_others_skills(workshop):
    sources = [str(workshop.folder(f"s{i}")) for i in range(2)]
    code = INSTALLER.replace("while True:", "for _ in range(3):")
    folders = [str(workshop.root / "skills"), str(workshop.key_folder)]
    running = [
        subprocess.Popen([sys.executable, "-c", code, *folders, source], stdout=subprocess.DEVNULL)
        for source in sources
    ]
    assert [process.wait() for process in running] == [0, 0]
    assert names(workshop.cache()) == {"s0", "s1"}
