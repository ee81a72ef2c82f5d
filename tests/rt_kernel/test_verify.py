"""A robot that runs another kernel, or this one differently, finds out."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.load import compose
from conf.profile import write_profile
from conf.schema import Config
from records import Certainty
from rt_kernel.boot_args import boot_arguments
from rt_kernel.problem import KernelError
from rt_kernel.verify import (
    Facts,
    Finding,
    as_document,
    as_text,
    is_wrong,
    judge,
    mask_as_list,
    read_facts,
    read_release,
    verify_kernel,
)

RELEASE = "6.12.117-bedplate-1a2b3c4d"


@pytest.fixture(scope="module")
def orin() -> Config:
    return compose(hardware="jetson_agx_orin").config


@pytest.fixture
def healthy(orin: Config) -> Facts:
    return Facts(
        release=RELEASE,
        version="Linux version 6.12.117 #1 SMP PREEMPT_RT",
        realtime="1",
        command_line="BOOT_IMAGE=/boot/Image " + " ".join(boot_arguments(orin)) + " ro",
        cpus_online="0-11",
        cpus_isolated="8-11",
        cpus_nohz_full="8-11",
        irq_default="0-7",
        irqs=(("12", "0-7"), ("40", "3")),
        clock_source="arch_sys_counter",
        governors=("performance",),
        loads_modules=False,
    )


def verdicts(found: tuple[Finding, ...]) -> dict[str, Certainty]:
    return {finding.item: finding.verdict for finding in found}


def test_the_kernel_that_was_wanted_is_found_in_order(orin: Config, healthy: Facts):
    found = judge(orin, healthy, RELEASE)
    assert set(verdicts(found).values()) == {Certainty.OK}
    assert not is_wrong(found)


# One fault each, and the one finding that must name it.
FAULTS = {
    "kernel.release": {"release": "6.12.107+deb13-rt-arm64"},
    "kernel.realtime": {"realtime": None, "version": "Linux version 6.12 SMP PREEMPT_DYNAMIC"},
    "kernel.module_loading": {"loads_modules": True},
    "cpu.online": {"cpus_online": "0-10"},
    "cpu.isolated": {"cpus_isolated": ""},
    "cpu.nohz_full": {"cpus_nohz_full": "(null)"},
    "irq.default_affinity": {"irq_default": "0-11"},
    "irq.affinity": {"irqs": (("12", "0-7"), ("40", "9"))},
    "clock.source": {"clock_source": "jiffies"},
    "cpu.governor": {"governors": ("performance", "schedutil")},
}


@pytest.mark.parametrize("item", FAULTS)
def test_each_fault_is_named_and_nothing_else(orin: Config, healthy: Facts, item: str):
    found = judge(orin, replace(healthy, **FAULTS[item]), RELEASE)
    assert [f.item for f in found if f.verdict is not Certainty.OK] == [item]
    assert is_wrong(found)


@pytest.mark.parametrize("argument", ["isolcpus", "nohz_full", "rcu_nocbs", "irqaffinity", "panic"])
def test_an_argument_that_is_missing_or_overruled_is_named(
    orin: Config, healthy: Facts, argument: str
):
    line = healthy.command_line or ""
    without = " ".join(word for word in line.split() if not word.startswith(argument + "="))
    for changed in (without, f"{line} {argument}=0"):
        found = judge(orin, replace(healthy, command_line=changed), RELEASE)
        wrong = [f.item for f in found if f.verdict is Certainty.WRONG]
        assert wrong == [f"argument.{argument}"]


def test_what_cannot_be_read_is_unknown_and_never_in_order(orin: Config):
    nothing = Facts(*[None] * 8, irqs=(), clock_source=None, governors=(), loads_modules=None)
    found = judge(orin, nothing, None)
    in_order = [f.item for f in found if f.verdict is Certainty.OK]
    assert in_order == ["cpu.governor"]  # no frequency is set: nothing can move
    assert not is_wrong(found)


def test_irq_of_each_cpu_by_itself_is_none_of_ours(orin: Config, healthy: Facts):
    found = judge(orin, replace(healthy, irqs=(("40", "0-7"),)), RELEASE)
    assert verdicts(found)["irq.affinity"] is Certainty.OK


def test_a_profile_for_any_kernel_has_nothing_to_compare(healthy: Facts):
    found = judge(compose(hardware="sim_x86").config, healthy, RELEASE)
    assert found == ()
    assert "no particular kernel" in as_text(found)


def test_findings_are_written_with_what_was_wanted_and_found(orin: Config, healthy: Facts):
    found = judge(orin, replace(healthy, cpus_isolated=""), RELEASE)
    row = next(row for row in as_document(found) if row["item"] == "cpu.isolated")
    assert row == {"item": "cpu.isolated", "wanted": "8-11", "found": "none", "verdict": "wrong"}
    assert "wrong    cpu.isolated" in as_text(found)
    assert "(wanted 8-11)" in as_text(found)


def plant_root(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_facts_are_read_from_the_kernels_own_files(tmp_path: Path):
    cpu = "sys/devices/system/cpu"
    plant_root(
        tmp_path,
        {
            "proc/sys/kernel/osrelease": RELEASE + "\n",
            "proc/version": "Linux version … PREEMPT_RT\n",
            "proc/cmdline": "panic=5\n",
            "proc/irq/default_smp_affinity": "0ff\n",
            "proc/irq/12/effective_affinity_list": "3\n",
            "proc/irq/2/effective_affinity_list": "\n",
            "proc/modules": "",
            "sys/kernel/realtime": "1\n",
            f"{cpu}/online": "0-11\n",
            f"{cpu}/isolated": "8-11\n",
            f"{cpu}/nohz_full": "8-11\n",
            f"{cpu}/cpu0/cpufreq/scaling_governor": "performance\n",
            f"{cpu}/cpu1/cpufreq/scaling_governor": "performance\n",
        },
    )
    facts = read_facts(tmp_path)
    assert facts.release == RELEASE
    assert facts.irq_default == "0-7"
    assert facts.irqs == (("12", "3"),)
    assert facts.governors == ("performance",)
    assert facts.loads_modules is True
    assert facts.clock_source is None


def test_the_robots_own_files_are_compared(tmp_path: Path, orin: Config):
    write_profile(orin, tmp_path / "profile.json")
    (tmp_path / "manifest.json").write_text(json.dumps({"kernel_release": RELEASE}))
    found = verify_kernel(tmp_path / "profile.json", tmp_path / "manifest.json", tmp_path)
    release = next(f for f in found if f.item == "kernel.release")
    assert (release.wanted, release.verdict) == (RELEASE, Certainty.UNKNOWN)
    with pytest.raises(KernelError, match="compared with what the profile says"):
        verify_kernel(tmp_path / "none.json", tmp_path / "manifest.json", tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kernel_release": 6}', "no json"])
def test_a_manifest_without_a_release_states_none(tmp_path: Path, text: str):
    (tmp_path / "manifest.json").write_text(text)
    assert read_release(tmp_path / "manifest.json") is None


@pytest.mark.parametrize(
    ("mask", "cpus"), [("ff", "0-7"), ("00000001,00000000", "32"), ("0", ""), ("xyz", None)]
)
def test_masks_become_lists(mask: str, cpus: str | None):
    assert mask_as_list(mask) == cpus


SAID = st.none() | st.text(max_size=30)


@given(
    st.lists(SAID, min_size=8, max_size=8),
    st.lists(st.tuples(st.text(max_size=4), st.text(max_size=9)), max_size=4),
    SAID,
)
def test_any_facts_are_judged(orin: Config, said, irqs, release):
    facts = Facts(*said, tuple(irqs), release, (), loads_modules=None)
    found = judge(orin, facts, release)
    assert len({finding.item for finding in found}) == len(found)
