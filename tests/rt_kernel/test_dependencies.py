"""Where Kconfig drops a request, the reader learns which condition does not hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rt_kernel.dependencies import explain, holds, read_options, split_terms
from rt_kernel.kconfig import Lost, Request

TOP = """
mainmenu "a kernel"
source "drivers/Kconfig"
source "arch/$(SRCARCH)/Kconfig"
config MODULES
\tbool "modules"
\thelp
\t  Text that speaks of things which
\t  depends on NOTHING
\t  if FALSE
config AFTER_HELP
\tbool
"""
DRIVERS = """
menu "Drivers"
\tdepends on HAS_IOMEM
comment "not here"
\tdepends on NEVER
if CAN
config CAN_FANCY
\ttristate "fancy"
\tdepends on OF && (USB || \\
\t\tPCI)
\tdepends on !BROKEN # as ever
endif # CAN
menuconfig WATCHDOG
\tbool
endmenu
config LOOSE
\tbool
"""
ARM64 = "config ARM64_ONLY\n\tdef_bool y\n"
FILES = {"Kconfig": TOP, "drivers/Kconfig": DRIVERS, "arch/arm64/Kconfig": ARM64}


def unmet(option: str, **config: str) -> tuple[str, ...]:
    lost = Lost(Request(option, "y", "a.config", 4, "why"), "absent")
    return explain(lost, read_options(FILES.get, "Kconfig", "arm64"), config).unmet


def test_conditions_of_the_entry_its_block_and_its_menu_are_held_against_the_result():
    assert unmet("CAN_FANCY") == ("HAS_IOMEM", "CAN", "OF", "(USB || \tPCI)".replace("\t", ""))
    assert unmet("CAN_FANCY", HAS_IOMEM="y", CAN="y", OF="y", PCI="y") == ()
    assert unmet("CAN_FANCY", HAS_IOMEM="y", CAN="y", OF="y", PCI="y", BROKEN="y") == ("!BROKEN",)


def test_a_block_ends_where_it_ends():
    assert unmet("WATCHDOG") == ("HAS_IOMEM",)
    assert unmet("LOOSE") == ()


def test_help_text_is_no_condition():
    assert unmet("MODULES") == ()
    assert unmet("AFTER_HELP") == ()


def test_files_of_the_architecture_are_read():
    assert unmet("ARM64_ONLY") == ()


def test_a_name_that_no_file_declares_is_called_so():
    (said,) = unmet("CAN_MTTCAN")
    assert said.startswith("another name")


def test_files_that_include_each_other_come_to_an_end():
    endless = {"Kconfig": 'config A\n\tbool\nsource "Kconfig"\n'}
    assert "A" in read_options(endless.get, "Kconfig", "arm64").places


@pytest.mark.parametrize(
    ("expression", "terms"),
    [
        ("A", ("A",)),
        ("A && B", ("A", "B")),
        ("(A && B)", ("A", "B")),
        ("(A && B) || C", ("(A && B) || C",)),
        ("A && (B || C) && !D", ("A", "(B || C)", "!D")),
        ("(A || B) && (C || D)", ("(A || B)", "(C || D)")),
    ],
)
def test_terms_are_cut_at_and_outside_brackets(expression: str, terms: tuple[str, ...]):
    assert split_terms(expression) == terms


@pytest.mark.parametrize("expression", ["GCC_VERSION >= 120000", "$(cc-option,-mfoo)", "A &&", ")"])
def test_what_cannot_be_told_is_not_called_unmet(expression: str):
    assert holds(expression, {}) is None


NAMES = ("A", "B", "C")


def expressions() -> st.SearchStrategy[str]:
    leaf = st.sampled_from([*NAMES, *(f"!{n}" for n in NAMES), "A = y", "B != y"])
    return st.recursive(
        leaf,
        lambda inner: st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(
            lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
        ),
        max_leaves=8,
    )


@given(expressions(), st.sets(st.sampled_from(NAMES)))
def test_expressions_mean_what_they_mean_in_python(expression: str, on: set[str]):
    python = expression.replace("A = y", "A").replace("B != y", "(not B)")
    python = python.replace("&&", "and").replace("||", "or").replace("!", " not ")
    values = {name: name in on for name in NAMES}
    config = dict.fromkeys(on, "y")
    assert holds(expression, config) is eval(python, {}, values)
    assert all(holds(term, config) for term in split_terms(expression)) is eval(python, {}, values)


@given(st.text(max_size=120), st.text(max_size=300))
def test_any_text_is_read_without_falling_over(expression: str, file: str):
    holds(expression, {})
    read_options({"Kconfig": file}.get, "Kconfig", "arm64")
