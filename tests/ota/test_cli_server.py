"""`bedplate ota` against the double: what an operator types, and what is told back."""

import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from ota.cli_server import app
from ota.mender import MenderError
from ota.mender.credentials import Credentials, read_credentials, write_credentials
from tests.ota.mender_api.rig import Console, Device, connect, unique
from tests.ota.mender_double.artifact_file import make_artifact
from tests.ota.mender_double.serve import Served, serve


@dataclass
class Desk:
    served: Served
    console: Console
    folder: Path

    @property
    def credentials(self) -> Path:
        return self.folder / "mender.json"

    def run(self, *words: str, code: int = 0, typed: str = "") -> Result:
        own = ["--credentials", str(self.credentials)]
        result = CliRunner().invoke(app, [*words, *own], input=typed)
        assert result.exit_code == code, result.output
        return result

    def json(self, *words: str, code: int = 0):
        return json.loads(self.run(*words, "--json", code=code).stdout)

    def log_in(self, **options: str) -> Result:
        trust = ["--authority", str(self.served.certificate)]
        words = ["login", self.served.url, "--user", self.served.user, *trust]
        return self.run(*words, typed=f"{self.served.password}\n", **options)

    def robot(self, *, accepted: bool = True) -> tuple[str, Device]:
        device = Device(self.console.http, {"robot_id": unique("osaka")})
        device.ask()
        device.id = self.console.find(device.identity)["id"]
        if accepted:
            self.console.accept(device)
        return device.identity["robot_id"], device


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with serve(tmp_path_factory.mktemp("mender")) as served:
        console = connect(served.url, served.trust(), served.user, served.password)
        made = Desk(served, console, tmp_path_factory.mktemp("desk"))
        made.log_in()
        yield made
        console.http.close()


def test_a_token_is_kept_for_its_owner_alone_and_the_password_is_not(desk: Desk):
    shown = desk.log_in()
    assert stat.S_IMODE(desk.credentials.stat().st_mode) == 0o600
    text = desk.credentials.read_text()
    assert desk.served.password not in text + shown.output
    assert json.loads(text)["token"] not in shown.output


def test_a_password_may_come_from_a_file(desk: Desk, tmp_path: Path):
    file = tmp_path / "password"
    file.write_text(f"{desk.served.password}\n")
    trust = ["--authority", str(desk.served.certificate)]
    words = ["login", desk.served.url, "--user", desk.served.user, *trust]
    desk.run(*words, "--password-file", str(file))
    file.write_text("wrong\n")
    assert "401" in desk.run(*words, "--password-file", str(file), code=2).stderr


def test_no_command_takes_a_password_or_token_as_a_word(desk: Desk):
    for command in app.registered_commands:
        assert command.callback is not None
        shown = desk.run(command.name or command.callback.__name__.replace("_", "-"), "--help")
        assert "--password " not in shown.output
        assert "--token" not in shown.output
        assert command.callback.__doc__


def test_a_token_that_others_may_read_is_not_used(desk: Desk, tmp_path: Path):
    path = tmp_path / "mender.json"
    write_credentials(path, Credentials(url=desk.served.url, token="a.b.c"))
    path.chmod(0o644)
    with pytest.raises(MenderError, match="chmod 600"):
        read_credentials(path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"token": "secret-token"}'])
def test_a_broken_file_is_refused_and_its_contents_not_repeated(tmp_path: Path, content: str):
    path = tmp_path / "mender.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(MenderError, match="bedplate ota login") as caught:
        read_credentials(path)
    assert "secret-token" not in str(caught.value)


def test_without_a_token_the_way_to_one_is_said(desk: Desk, tmp_path: Path):
    words = ["artifacts", "--credentials", str(tmp_path / "none.json")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "bedplate ota login" in result.stderr


def test_from_a_file_to_a_robot_that_has_it(desk: Desk, tmp_path: Path):
    artifact, (name, device) = unique("release"), desk.robot()
    path = tmp_path / "a.mender"
    path.write_bytes(make_artifact(artifact, "qemu_arm64"))
    made = desk.json("upload", str(path))
    assert [row["id"] for row in desk.json("artifacts", "--name", artifact)] == [made["id"]]
    assert artifact in desk.run("artifacts").output
    deployment = desk.json("deploy", artifact, "--robot", name)["id"]
    assert "not heard of" in desk.run("deployment", deployment).output
    device.poll()
    device.report(deployment, "success")
    shown = desk.json("deployment", deployment, "--wait")
    assert shown["robots"] == [{"robot": name, "status": "success", "changed_mind": False}]
    assert deployment in desk.run("deployments", "--state", "finished").output
    assert "over already" in desk.run("abort", deployment).output
    desk.run("delete-artifact", made["id"])


def test_a_failure_is_an_exit_code_and_its_log_is_at_hand(desk: Desk):
    artifact, (name, device) = desk.console.artifact(), desk.robot()
    deployment = desk.json("deploy", artifact, "--robot", name)["id"]
    device.poll()
    device.report(deployment, "failure")
    device.send_log(deployment, "the gate said no")
    desk.run("deployment", deployment, code=1)
    assert "the gate said no" in desk.run("deployment", deployment, "--log", name).output


def test_a_running_deployment_is_aborted(desk: Desk):
    deployment = desk.json("deploy", desk.console.artifact(), "--robot", desk.robot()[0])["id"]
    assert "aborted" in desk.run("abort", deployment).output
    shown = desk.run("deployment", deployment).output
    assert "1 in no count of the server" in shown


def test_a_misspelt_robot_is_found_before_the_server_hears_of_it(desk: Desk):
    name, _ = desk.robot()
    shown = desk.run("deploy", desk.console.artifact(), "--robot", f"{name}x", code=2)
    assert f"try  {name}" in shown.stderr
    waiting, _ = desk.robot(accepted=False)
    shown = desk.run("deploy", desk.console.artifact(), "--robot", waiting, code=2)
    assert "not accepted" in shown.stderr


def test_a_robot_is_let_in_and_shut_out(desk: Desk):
    name, device = desk.robot(accepted=False)
    assert name in desk.run("devices", "--status", "pending").output
    desk.run("accept", name)
    assert device.ask().status_code == 200
    desk.run("reject", name)
    assert device.ask().status_code == 401
    desk.run("decommission", name)
    assert name not in desk.run("devices").output


def test_of_two_keys_one_must_be_named(desk: Desk):
    name, first = desk.robot(accepted=False)
    second = Device(desk.console.http, first.identity, id=first.id)
    second.ask()
    assert "2 keys to choose from" in desk.run("accept", name, code=2).stderr
    row = next(d for d in desk.json("devices") if d["id"] == first.id)
    assert len(row["auth_sets"]) == 2
    shown = next(line for line in desk.run("devices").output.splitlines() if name in line)
    fingerprint = shown.split()[2].split(":")[0]
    desk.run("accept", name, "--key", fingerprint)


def test_groups_are_filled_and_deployed_to(desk: Desk):
    (name, device), group = desk.robot(), unique("group")
    desk.run("groups", group, "--add", name)
    assert desk.json("groups", group) == [name]
    assert group in desk.json("groups")
    deployment = desk.json("deploy", desk.console.artifact(), "--group", group)["id"]
    assert device.poll().json()["id"] == deployment
    desk.run("groups", group, "--remove", name)
    assert f"nobody is in {group}" in desk.run("groups", group).output


def test_who_takes_part_must_be_said(desk: Desk):
    assert "--robot NAME" in desk.run("deploy", "x", code=2).stderr
