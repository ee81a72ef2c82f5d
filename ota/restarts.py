"""Which processes a difference between two profiles touches. Pure.

`READS` is what each process takes from a profile; a test holds it against the processes' own code.
A row too many costs a restart, one too few leaves a process on settings that are no longer.
"""

from collections.abc import Mapping
from typing import Any, Final

from runtime.processes import PROCESSES

# controld reads the control file alone; these two put the config hash into all that they say.
SAYS_HASH: Final = frozenset({"agentd", "telemetryd"})
READS: Final[Mapping[str, frozenset[str]]] = {
    "visiond": frozenset({"perception", "hardware", "facility", "robot", "modes", "unit"}),
    "policyd": frozenset({"hardware", "facility", "policy", "robot"}),
    "plannerd": frozenset({"hardware", "facility", "policy", "robot"}),
    "safetyd": frozenset({"hardware", "policy", "robot"}),
    "agentd": frozenset({"facility", "hardware", "modes", "policy", "robot", "telemetry", "unit"}),
    "telemetryd": frozenset({"hardware", "facility", "robot", "telemetry", "unit"}),
}
NAMES: Final = ("config_hash", "artifact_name", "robot_id")
Table = Mapping[str, Any]


def touched(
    before: Table,
    after: Table,
    control: tuple[Table, Table],
    models: tuple[Mapping[str, str], Mapping[str, str]],
) -> tuple[str, ...]:
    """Names of processes, in the order of the table of processes."""
    sections = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    found = {name for name, reads in READS.items() if reads & sections}
    if before.get("config_hash") != after.get("config_hash"):
        found |= SAYS_HASH
    if _rules(control[0]) != _rules(control[1]):
        found.add("controld")
    if models[0] != models[1]:
        found.add("visiond")
    return tuple(spec.name for spec in PROCESSES if spec.name in found)


def _rules(control: Table) -> dict[str, Any]:
    """What Tier 1 acts on: a new name for the same rules is no reason to restart it."""
    return {key: value for key, value in control.items() if key not in NAMES}
