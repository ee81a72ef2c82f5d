"""`bedplate ota`, the Mender server's part: log in, upload, deploy, watch, abort, let robots in."""

import difflib
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn
from rich.progress import TransferSpeedColumn as Speed

from ota.cli_tables import (
    fingerprint,
    key_text,
    mib_text,
    print_table,
    print_value,
    signed_text,
    sums,
    when_text,
)
from ota.mender import (
    Address,
    AuthStatus,
    Deployment,
    Device,
    Login,
    MenderError,
    MenderServer,
    Outcome,
    Session,
    WishError,
    hold,
    outcome_of,
)
from ota.mender.credentials import Credentials, default_path, read_credentials, write_credentials

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False)
REFUSED = 2
LOOK_EVERY_S = 5.0

AsJson = Annotated[bool, typer.Option("--json", help="JSON, for other programs.")]
CredentialsFile = Annotated[
    Path | None, typer.Option("--credentials", help="Instead of ~/.config/bedplate/mender.json.")
]
Robots = Annotated[
    list[str] | None, typer.Option("--robot", help="A robot's name or device id; may be repeated.")
]
Robot = Annotated[str, typer.Argument(help="The robot's name, or its device id.")]
DeploymentId = Annotated[str, typer.Argument(help="As `bedplate ota deployments` shows it.")]


@app.command()
def login(
    url: Annotated[str, typer.Argument(help="https://… of the server, without a path.")],
    user: Annotated[str, typer.Option("--user", help="Who you are on that server.")],
    authority: Annotated[
        Path | None, typer.Option("--authority", help="PEM of the server's own authority.")
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="Its first line; else it is asked for.")
    ] = None,
    credentials: CredentialsFile = None,
) -> None:
    """Ask the server for a token and keep it, readable by you alone. The password is not kept."""
    path = credentials or default_path()
    with _said():
        password = _password(password_file)
        known = None if authority is None else authority.absolute()
        session = Session(Address(url, known), login=Login(user, password))
        try:
            token = session.log_in()
        finally:
            session.close()
        try:
            made = Credentials(url=url, authority=known, user=user, token=token)
        except ValidationError:
            raise WishError(
                url, "an address with a path", "paths are the API's own", "https://HOST[:PORT]"
            ) from None
        write_credentials(path, made)
    typer.echo(f"{path}: token for {user} at {url}")


def _password(file: Path | None) -> str:
    if file is None:
        return typer.prompt("Password", hide_input=True, err=True)
    return file.read_text().split("\n", 1)[0]


@app.command()
def upload(
    artifact: Annotated[Path, typer.Argument(help="A .mender file.", exists=True, dir_okay=False)],
    description: Annotated[str, typer.Option(help="Shown in the server's list.")] = "",
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Put an artifact on the server, from where robots can be told to take it."""
    with _server(credentials) as server, _bar(artifact.name) as progress:
        made = server.upload(artifact, description, progress)
    print_value({"id": made}, f"{artifact.name}: uploaded as {made}", json=json)


@contextmanager
def _bar(title: str) -> Iterator[Any]:
    """On standard error, and only where somebody looks."""
    columns = (title, BarColumn(), DownloadColumn(), Speed(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title)
        yield lambda sent, size: bar.update(task, completed=sent, total=size)


@app.command()
def artifacts(
    name: Annotated[str | None, typer.Option("--name", help="Only those of this name.")] = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """What is on the server: name, boards, size, whether signed."""
    with _server(credentials) as server:
        rows = server.artifacts(name)
    cells = [
        (
            a.name,
            ",".join(a.device_types),
            mib_text(a.size),
            signed_text(a.signed),
            when_text(a.modified),
            a.id,
        )
        for a in rows
    ]
    print_table(rows, ("name", "boards", "size", "signed", "since", "id"), cells, json=json)


@app.command("delete-artifact")
def delete_artifact(
    artifact_id: Annotated[str, typer.Argument(help="Its id.")], credentials: CredentialsFile = None
) -> None:
    """Take an artifact off the server. Refused while a deployment uses it."""
    with _server(credentials) as server:
        server.delete_artifact(artifact_id)
    typer.echo(f"{artifact_id}: deleted")


@app.command()
def deploy(
    artifact: Annotated[str, typer.Argument(help="The artifact's name, not its file.")],
    robot: Robots = None,
    group: Annotated[str | None, typer.Option(help="Instead: all who are in it now.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the deployment; else artifact and time.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Offer it to who has it too.")] = False,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Tell robots to take an artifact. Each does at its next poll; its commit gate decides."""
    title = name or f"{artifact} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    with _server(credentials) as server:
        if bool(robot) == bool(group):
            raise WishError(
                "deploy", "neither robots nor a group, or both", "it must be said who takes part",
                "--robot NAME (repeated), or --group NAME",
            )  # fmt: skip
        if group:
            made = server.create_group_deployment(title, artifact, group, force=force)
        else:
            ids = [d.id for d in _find(server, robot or (), accepted=True)]
            made = server.create_deployment(title, artifact, ids, force=force)
    print_value({"id": made, "name": title}, f"{made}: {title}", json=json)


@app.command()
def deployments(
    state: Annotated[
        str | None, typer.Option(help="pending, inprogress or finished; else all.")
    ] = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """All deployments, newest first."""
    with _server(credentials) as server:
        rows = server.deployments(state)
    cells = [(d.name, d.state, *sums(d.statistics), when_text(d.created), d.id) for d in rows]
    print_table(rows, ("name", "state", "good", "bad", "waiting", "since", "id"), cells, json=json)


@app.command()
def deployment(
    deployment_id: DeploymentId,
    log: Annotated[
        str | None, typer.Option("--log", help="Print what this robot wrote when it failed.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it is over.")] = False,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """One deployment, robot by robot. Exit 1 where a robot failed."""
    with _server(credentials) as server:
        names = {d.id: d.robot_id or d.id for d in server.devices()}
        if log is not None:
            (device,) = _find(server, [log])
            typer.echo(server.device_log(deployment_id, device.id) or "no log was sent", nl=False)
            return
        found, held = server.deployment(deployment_id), hold({}, server.progress(deployment_id))
        while wait and not found.is_over:
            time.sleep(LOOK_EVERY_S)
            found = server.deployment(deployment_id)
            held = hold(held, server.progress(deployment_id))
    _show(found, [(names.get(key, key), held.get(key)) for key in found.device_ids], json=json)
    bad = any(outcome_of(verdict.status) is Outcome.BAD for verdict in held.values())
    raise typer.Exit(1 if bad else 0)


def _show(found: Deployment, robots: Sequence[tuple[str, Any]], *, json: bool) -> None:
    rows = [
        {
            "robot": name,
            "status": "not heard of" if verdict is None else verdict.status.value,
            "changed_mind": verdict is not None and verdict.changed_mind,
        }
        for name, verdict in robots
    ]
    if json:
        print_value(
            {**found.model_dump(mode="json", exclude={"filter"}), "robots": rows}, "", json=True
        )
        return
    typer.echo(f"{found.name}: {found.state}, artifact {found.artifact_name}")
    for row in rows:
        note = "  (said otherwise later)" if row["changed_mind"] else ""
        typer.echo(f"  {row['robot']:<32} {row['status']}{note}")
    if found.uncounted:
        typer.echo(f"  {found.uncounted} in no count of the server: ended before they asked")


@app.command()
def abort(deployment_id: DeploymentId, credentials: CredentialsFile = None) -> None:
    """End a deployment. Robots at work in it learn so at their next report, and go back."""
    with _server(credentials) as server:
        done = server.abort(deployment_id)
    typer.echo(f"{deployment_id}: {'aborted' if done else 'was over already'}")


@app.command()
def devices(
    status: Annotated[
        AuthStatus | None, typer.Option(help="Only those; pending are who ask to be let in.")
    ] = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Who is known to the server: robot, status, the fingerprint of each key."""
    with _server(credentials) as server:
        rows = server.devices(status)
    cells = [
        (d.robot_id or str(d.identity), d.status, " ".join(map(key_text, d.auth_sets)), d.id)
        for d in rows
    ]
    print_table(rows, ("robot", "status", "keys", "id"), cells, json=json)


@app.command()
def accept(
    robot: Robot,
    key: Annotated[str, typer.Option(help="Fingerprint of the key, where there are several.")] = "",
    credentials: CredentialsFile = None,
) -> None:
    """Let a robot in. With a second key the first is shut out: that is how a key is replaced."""
    _decide(robot, key, credentials, AuthStatus.ACCEPTED)


@app.command()
def reject(
    robot: Robot,
    key: Annotated[str, typer.Option(help="Fingerprint of the key, where there are several.")] = "",
    credentials: CredentialsFile = None,
) -> None:
    """Shut a robot out; its token is worth nothing from then on."""
    _decide(robot, key, credentials, AuthStatus.REJECTED)


def _decide(robot: str, key: str, credentials: Path | None, status: AuthStatus) -> None:
    with _server(credentials) as server:
        (device,) = _find(server, [robot])
        keys = [a for a in device.auth_sets if fingerprint(a).startswith(key)]
        waiting = [a for a in keys if a.status is AuthStatus.PENDING]
        chosen = keys if key or len(keys) == 1 else waiting
        if len(chosen) != 1:
            raise WishError(
                robot,
                f"{len(chosen)} keys to choose from: {' '.join(map(key_text, device.auth_sets))}",
                "one of them may be somebody else's",
                "--key FINGERPRINT, as the robot itself shows it",
            )
        act = server.accept if status is AuthStatus.ACCEPTED else server.reject
        act(device.id, chosen[0])
    typer.echo(f"{robot}: {status}, key {fingerprint(chosen[0])}")


@app.command()
def decommission(
    robot: Robot,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Though deployments wait for it.")
    ] = False,
    credentials: CredentialsFile = None,
) -> None:
    """Forget a robot on the server, with all its keys."""
    with _server(credentials) as server:
        (device,) = _find(server, [robot])
        server.decommission(device.id, anyway=anyway)
    typer.echo(f"{robot}: decommissioned")


@app.command()
def groups(
    name: Annotated[str | None, typer.Argument(help="One group; else the names of all.")] = None,
    add: Annotated[list[str] | None, typer.Option("--add", help="Robot that joins.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="Robot that leaves.")] = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Groups and who is in them. A robot is in one at most; a group without robots is none."""
    with _server(credentials) as server:
        if name is None:
            found = server.groups()
            print_value(found, "\n".join(found) or "no groups", json=json)
            return
        if add:
            server.join_group(name, [d.id for d in _find(server, add)])
        if remove:
            server.leave_group(name, [d.id for d in _find(server, remove)])
        known = {d.id: d.robot_id or d.id for d in server.devices()}
        members = [known.get(key, key) for key in server.group(name)]
    print_value(members, "\n".join(members) or f"nobody is in {name}", json=json)


def _find(server: MenderServer, names: Iterable[str], *, accepted: bool = False) -> list[Device]:
    """By name or id. The server takes any id in silence, so every one is looked up here."""
    known = server.devices(AuthStatus.ACCEPTED if accepted else None)
    table = {d.id: d for d in known} | {d.robot_id: d for d in known if d.robot_id}
    missing = [name for name in names if name not in table]
    if missing:
        near = difflib.get_close_matches(missing[0], [str(name) for name in table], 1)
        raise WishError(
            "the robots",
            f"unknown to the server{' or not accepted' if accepted else ''}: {', '.join(missing)}",
            "the server would take the name and wait for it for ever",
            near[0] if near else "bedplate ota devices",
        )
    return [table[name] for name in names]


@contextmanager
def _server(credentials: Path | None) -> Iterator[MenderServer]:
    with _said():
        known = read_credentials(credentials or default_path())
        with MenderServer(known.session()) as server:
            yield server


@contextmanager
def _said() -> Iterator[None]:
    """Errors as one text, and no trace."""
    try:
        yield
    except (MenderError, OSError) as error:
        _refuse(error)


def _refuse(error: object) -> NoReturn:
    typer.echo(str(error), err=True)
    raise typer.Exit(REFUSED) from None
