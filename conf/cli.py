"""`bedplate config …`: show, check, diff, schema, compile."""

import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from conf.control import write_control
from conf.document import REFERENCE_FILE, SCHEMA_FILE, reference_text, schema_text
from conf.editor import EDITOR_DIR, editor_texts
from conf.load import Composed, compose, options_of
from conf.mistake import ConfigError
from conf.plain import as_table, dotted, leaves, shown
from conf.profile import dump, write_profile

app = typer.Typer(
    help=__doc__, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
)

Hardware = Annotated[str | None, typer.Option(help="Board: a file of conf/hardware.")]
Facility = Annotated[str | None, typer.Option(help="Site: a file of conf/facility.")]
RobotId = Annotated[
    str | None,
    typer.Option(help="This robot: its file in conf/robot/unit is used if it has one."),
]
Scenario = Annotated[str | None, typer.Option(help="Overlay: a file of conf/scenario.")]
Override = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="group=option or path.to.setting=value; may be repeated."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
REFUSED = 2


def _compose(
    hardware: str | None,
    facility: str | None,
    robot_id: str | None,
    scenario: str | None,
    overrides: list[str] | None,
) -> Composed:
    try:
        return compose(
            hardware=hardware,
            facility=facility,
            robot_id=robot_id,
            scenario=scenario,
            overrides=overrides or (),
        )
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(REFUSED) from None


@app.command()
def show(
    section: Annotated[str, typer.Argument(help="Only what lies below this path.")] = "",
    hardware: Hardware = None,
    facility: Facility = None,
    robot_id: RobotId = None,
    scenario: Scenario = None,
    overrides: Override = None,
    as_json: AsJson = False,
) -> None:
    """Print every value of a configuration with the file and line it came from."""
    composed = _compose(hardware, facility, robot_id, scenario, overrides)
    rows = [row for row in _rows(composed) if _below(row[0], section)]
    if not rows:
        print(f"nothing lies below {section!r}; try  bedplate config show", file=sys.stderr)
        raise typer.Exit(REFUSED)
    if as_json:
        _print_json(_show_json(composed, rows))
        return
    _print_rows(rows)
    if not section:
        _print_summary(composed)


def _rows(composed: Composed) -> list[tuple[str, object, str]]:
    data = dump(composed.config)
    rows = [(dotted(p), v, str(composed.origins.get(p, "computed"))) for p, v in leaves(data)]
    return _lists_joined(rows, data)


def _lists_joined(rows: list[tuple[str, object, str]], data: Any) -> list[tuple[str, object, str]]:
    """Lists of scalars on one row: a position is one value to a reader."""
    joined: dict[str, tuple[str, object, str]] = {}
    for path, value, origin in rows:
        head, bracket, rest = path.rpartition("[")
        if bracket and rest.endswith("]"):
            known = joined.get(head)
            values = [*known[1], value] if known and isinstance(known[1], list) else [value]  # pyright: ignore[reportUnknownVariableType]
            joined[head] = (head, values, origin)
        else:
            joined[path] = (path, value, origin)
    return list(joined.values())


def _below(path: str, section: str) -> bool:
    return not section or path == section or path.startswith((f"{section}.", f"{section}["))


def _print_rows(rows: list[tuple[str, object, str]]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    width = min(56, max(len(path) for path, _, _ in rows))
    for path, value, origin in rows:
        text = f"{path:<{width}}  {shown(value, 60):<24}"
        console.print(f"{escape(text)}  [dim]{escape(origin)}[/dim]")


def _print_summary(composed: Composed) -> None:
    config = composed.config
    print(f"\nrobot         {config.robot_id}")
    print(f"artifact      {config.artifact_name}")
    print(f"config hash   {config.config_hash}")
    print(f"unit hash     {config.unit_hash}")
    print(f"composed from {', '.join(composed.files)}")
    if not composed.tightened:
        print("safety        no overlay changes it")
        return
    print("safety tightened by overlays:")
    for row in composed.tightened:
        before = "absent" if row.before is None else shown(row.before)
        print(f"  {dotted(row.path):<44} {before} → {shown(row.after)}  {row.origin}")


def _show_json(composed: Composed, rows: list[tuple[str, object, str]]) -> dict[str, Any]:
    return {
        "robot_id": composed.config.robot_id,
        "artifact_name": composed.config.artifact_name,
        "config_hash": composed.config.config_hash,
        "unit_hash": composed.config.unit_hash,
        "files": composed.files,
        "values": [{"path": p, "value": v, "origin": o} for p, v, o in rows],
        "tightened": [
            {
                "path": dotted(row.path),
                "before": row.before,
                "after": row.after,
                "origin": str(row.origin),
            }
            for row in composed.tightened
        ],
    }


@app.command()
def check(
    hardware: Hardware = None,
    facility: Facility = None,
    robot_id: RobotId = None,
    scenario: Scenario = None,
    overrides: Override = None,
    as_json: AsJson = False,
) -> None:
    """Compose and check; without --hardware and --facility every pair of them.

    Ends with status 2 if anything is refused, with every mistake on it.
    """
    boards = [hardware] if hardware else options_of("hardware")
    sites = [facility] if facility else options_of("facility")
    pairs = [(board, site) for board in boards for site in sites]
    results = [_check_pair(b, s, robot_id, scenario, overrides or []) for b, s in pairs]
    if as_json:
        _print_json(results)
    else:
        for result in results:
            _print_result(result)
    if any(result["mistakes"] for result in results):
        raise typer.Exit(REFUSED)


def _check_pair(
    hardware: str, facility: str, robot_id: str | None, scenario: str | None, overrides: list[str]
) -> dict[str, Any]:
    result: dict[str, Any] = {"hardware": hardware, "facility": facility, "mistakes": []}
    try:
        composed = compose(
            hardware=hardware,
            facility=facility,
            robot_id=robot_id,
            scenario=scenario,
            overrides=overrides,
        )
    except ConfigError as error:
        result["text"] = str(error)
        result["mistakes"] = [
            {
                "origin": str(m.origin),
                "path": m.path,
                "got": m.got,
                "allowed": m.allowed,
                "because": m.because,
                "try": m.suggestion,
            }
            for m in error.mistakes
        ]
    else:
        result["config_hash"] = composed.hash
        result["tightened"] = len(composed.tightened)
    return result


def _print_result(result: dict[str, Any]) -> None:
    pair = f"{result['hardware']} × {result['facility']}"
    if result["mistakes"]:
        print(f"{pair}: refused\n\n{result['text']}\n", file=sys.stderr)
        return
    hash_start = result["config_hash"][:12]
    print(f"{pair:<28} fits   {hash_start}   {result['tightened']} safety settings tightened")


Boards = Annotated[
    list[str] | None,
    typer.Option(
        "--hardware",
        help="Board of a side that names none; given twice: the left side's, the right side's.",
    ),
]


@app.command()
def diff(
    left: Annotated[str, typer.Argument(help="facility, or facility@hardware.")],
    right: Annotated[
        str, typer.Argument(help="The same, for the other side; without it, the left facility.")
    ] = "",
    hardware: Boards = None,
    as_json: AsJson = False,
) -> None:
    """Print what differs between two configurations, with the file and line of each value.

    Two facilities: `osaka gdansk`, on one board: `osaka gdansk --hardware jetson_thor`.
    Two boards: `osaka --hardware sim_x86 --hardware jetson_thor`, or
    `osaka@sim_x86 osaka@jetson_thor`.
    """
    sides = [_side(*pair) for pair in _pairs(left, right, hardware or [])]
    tables = [{path: (value, origin) for path, value, origin in _rows(side)} for side in sides]
    absent = (None, "absent")
    changed = [
        (path, tables[0].get(path, absent), tables[1].get(path, absent))
        for path in sorted({*tables[0], *tables[1]})
        if tables[0].get(path, absent)[0] != tables[1].get(path, absent)[0]
    ]
    if as_json:
        _print_json([{"path": path, "left": a[0], "right": b[0]} for path, a, b in changed])
        return
    for path, a, b in changed:
        print(f"{path}\n  {shown(a[0], 70):<40}  {a[1]}\n  {shown(b[0], 70):<40}  {b[1]}")
    print(f"{len(changed)} values differ")


def _pairs(left: str, right: str, boards: list[str]) -> list[tuple[str, str | None]]:
    """Facility and board of each side, or a refusal to compare a thing with itself."""
    (left_site, left_board), (right_site, right_board) = _named(left), _named(right)
    own = [left_board, right_board]
    if len(boards) > 2 or (boards and all(own)) or (len(boards) == 2 and any(own)):
        _refuse_diff("more boards than sides", "name each side's board once, by @ or --hardware")
    given = [*boards, *boards] if len(boards) == 1 else boards or ["", ""]
    pairs = [
        (left_site, left_board or given[0] or None),
        (right_site or left_site, right_board or given[1] or None),
    ]
    if not right and pairs[0] == pairs[1]:
        _refuse_diff("one side only", f"bedplate config diff {left} --hardware A --hardware B")
    return pairs


def _named(text: str) -> tuple[str, str]:
    facility, _, board = text.replace("×", "@").partition("@")
    return facility, board


def _refuse_diff(problem: str, suggestion: str) -> NoReturn:
    print(f"config diff: {problem}\n  try  {suggestion}", file=sys.stderr)
    raise typer.Exit(REFUSED)


def _side(facility: str, hardware: str | None) -> Composed:
    return _compose(hardware, facility, None, None, None)


@app.command()
def schema(
    write: Annotated[
        bool,
        typer.Option("--write", help="Write conf/schema.json, conf/editor/ and docs/config.md."),
    ] = False,
) -> None:
    """Print the JSON Schema of all settings, or write it and the reference page."""
    if not write:
        print(schema_text(), end="")
        return
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
    REFERENCE_FILE.parent.mkdir(parents=True, exist_ok=True)
    REFERENCE_FILE.write_text(reference_text(), encoding="utf-8")
    for file, text in editor_texts().items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    print(f"wrote {SCHEMA_FILE.name}, {EDITOR_DIR.name}/ and {REFERENCE_FILE.name}")


@app.command("compile")
def compile_(
    out: Annotated[Path, typer.Option(help="Folder for profile.json and control.json.")],
    hardware: Hardware = None,
    facility: Facility = None,
    robot_id: RobotId = None,
    scenario: Scenario = None,
    overrides: Override = None,
) -> None:
    """Write what a robot reads: profile.json (all of it) and control.json (Tier 1's part)."""
    composed = _compose(hardware, facility, robot_id, scenario, overrides)
    write_profile(composed.config, out / "profile.json")
    write_control(composed.config, out / "control.json")
    print(f"{composed.config.robot_id}  {composed.hash}  {out}")


def _print_json(value: object) -> None:
    table = as_table(value)
    sys.stdout.buffer.write(orjson.dumps(table or value, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.flush()
