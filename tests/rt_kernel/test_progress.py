"""What is said of a long build is counted, and what is not known is not said."""

from hypothesis import given
from hypothesis import strategies as st

from rt_kernel.progress import (
    OBJECTS_BEFORE_ESTIMATE,
    SAY_EVERY_NS,
    Progress,
    error_lines,
    is_object,
)

CC = "  CC      kernel/fork.o\n"


def test_objects_are_counted_and_messages_are_not():
    assert is_object(CC)
    assert is_object("  AS      arch/arm64/kernel/entry.o")
    assert not is_object("  DTC     arch/arm64/boot/dts/nvidia/tegra234.dtb")
    assert not is_object("  AR      init/built-in.a")
    assert not is_object("kernel/fork.c:12: warning: unused")
    assert not is_object("make[2]: *** [x] Error 1")


def test_it_speaks_now_and_then():
    progress = Progress(begun_ns=0)
    assert progress.take(CC, 1) is None
    said = progress.take(CC, SAY_EVERY_NS)
    assert said is not None
    assert said.startswith("compiling: 2 of about")
    assert progress.take(CC, SAY_EVERY_NS + 1) is None


def test_there_is_no_estimate_before_there_is_a_pace_nor_past_the_expectation():
    progress = Progress(begun_ns=0, expected=200)
    for _ in range(OBJECTS_BEFORE_ESTIMATE - 1):
        progress.take(CC, 1)
    assert progress.left_s(10**9) is None
    progress.take(CC, 1)
    assert progress.left_s(60 * 10**9) == 60.0
    assert "about 60 s left" in progress.sentence(60 * 10**9)
    for _ in range(200):
        progress.take(CC, 1)
    assert progress.left_s(60 * 10**9) is None
    assert progress.sentence(0) == "compiling: 300 of about 300 objects"


def test_what_an_earlier_attempt_made_counts_as_done_but_not_as_pace():
    progress = Progress(begun_ns=0, expected=1000, before=800)
    for _ in range(100):
        progress.take(CC, 1)
    assert progress.left_s(10 * 10**9) == 10.0
    assert progress.sentence(0).startswith("compiling: 900 of about 1000 objects")


def test_a_failed_build_is_told_by_its_errors():
    log = CC * 500 + "a.c:1: error: planted\n" + CC + "make: *** [Makefile:1] Error 2\n"
    assert error_lines(log) == "a.c:1: error: planted\nmake: *** [Makefile:1] Error 2"
    assert error_lines("one\ntwo") == "one\ntwo"


@given(st.lists(st.text(max_size=30) | st.just(CC), max_size=50), st.integers(1, 10**12))
def test_any_output_is_followed(lines: list[str], step_ns: int):
    progress = Progress(begun_ns=0, expected=10)
    for number, line in enumerate(lines):
        progress.take(line, number * step_ns)
    left_s = progress.left_s(len(lines) * step_ns)
    assert left_s is None or left_s >= 0
