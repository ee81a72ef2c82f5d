"""What can be asked of a Mender server, and what is not asked because of how it would answer."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from ota.mender.errors import (
    AnswerError,
    ConflictError,
    NotFoundError,
    RefusedError,
    UnclearError,
    WishError,
)
from ota.mender.records import (
    Artifact,
    AuthSet,
    AuthStatus,
    Deployment,
    Device,
    DeviceProgress,
    Inventory,
    Statistics,
    statistics_of,
)
from ota.mender.session import V1, V2, Session

PER_PAGE = 500
PAGES_MAX = 2000  # a million rows: whatever pages on is no list of robots
# 20,000 fit into the server's mebibyte, 30,000 do not.
DEVICES_MAX = 20_000
NAME_MAX = 256
UPLOAD_TIMEOUT_S = 600.0  # between two pieces, not for the whole
DEPLOYMENTS = f"{V1}/deployments/deployments"
ARTIFACTS = f"{V1}/deployments/artifacts"
DEVAUTH = f"{V2}/devauth/devices"
INVENTORY = f"{V1}/inventory"

T = TypeVar("T")
Progress = Callable[[int, int], None]  # bytes sent, bytes in all


class _Watched:
    """A file that tells how far it was read."""

    def __init__(self, file: IO[bytes], size: int, progress: Progress) -> None:
        self._file, self._size, self._progress = file, size, progress

    def read(self, count: int = -1) -> bytes:
        data = self._file.read(count)
        self._progress(min(self._file.tell(), self._size), self._size)
        return data

    def seek(self, *where: int) -> int:
        return self._file.seek(*where)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()


@dataclass
class MenderServer:
    """The open-source server's management API, as far as rollouts need it."""

    session: Session

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.session.close()

    # Artifacts

    def artifacts(self, name: str | None = None) -> list[Artifact]:
        query = {} if name is None else {"name": name}
        rows = self._pages(f"{ARTIFACTS}/list", Artifact, query)
        return [a for a in rows if name is None or a.name == name]

    def upload(
        self, path: Path, description: str = "", progress: Progress = lambda _sent, _all: None
    ) -> str:
        """The artifact's id on the server. Not repeated: it is large, and may have come."""
        size = path.stat().st_size
        with path.open("rb") as file:
            reply = self.session.call(
                "POST",
                ARTIFACTS,
                data={"description": description, "size": str(size)},
                files={"artifact": (path.name, _Watched(file, size, progress))},
                timeout=UPLOAD_TIMEOUT_S,
            )
        return self._made(reply.headers.get("location", ""), ARTIFACTS)

    def delete_artifact(self, artifact_id: str) -> None:
        self.session.call("DELETE", f"{ARTIFACTS}/{_part(artifact_id)}")

    # Deployments

    def create_deployment(
        self, name: str, artifact_name: str, device_ids: Sequence[str], *, force: bool = False
    ) -> str:
        """The deployment's id. A lost answer is looked for among the newest, not asked twice."""
        check_name(name)
        check_devices(device_ids)
        wish = {
            "name": name,
            "artifact_name": artifact_name,
            "devices": list(device_ids),
            "force_installation": force,
        }
        return self._create(DEPLOYMENTS, wish, name, artifact_name, frozenset(device_ids))

    def create_group_deployment(
        self, name: str, artifact_name: str, group: str, *, force: bool = False
    ) -> str:
        """For the members of this moment: who joins later gets nothing."""
        check_name(name)
        wish = {"name": name, "artifact_name": artifact_name, "force_installation": force}
        return self._create(f"{DEPLOYMENTS}/group/{_part(group)}", wish, name, artifact_name, None)

    def _create(
        self,
        path: str,
        wish: Mapping[str, Any],
        name: str,
        artifact_name: str,
        ids: frozenset[str] | None,
    ) -> str:
        before = {d.id for d in self._newest()}
        try:
            reply = self.session.call("POST", path, json=wish)
        except UnclearError:
            for deployment in self._newest():
                same = (deployment.name, deployment.artifact_name) == (name, artifact_name)
                mine = ids is None or frozenset(deployment.device_ids) == ids
                if same and mine and deployment.id not in before:
                    return deployment.id
            raise
        return self._made(reply.headers.get("location", ""), path)

    def _newest(self) -> list[Deployment]:
        reply = self.session.call("GET", DEPLOYMENTS, params={"per_page": 50, "sort": "desc"})
        return self._understood(DEPLOYMENTS, list[Deployment], reply.content)

    def deployments(self, state: str | None = None) -> list[Deployment]:
        query = {} if state is None else {"status": state}
        return list(self._pages(DEPLOYMENTS, Deployment, query))

    def deployment(self, deployment_id: str) -> Deployment:
        path = f"{DEPLOYMENTS}/{_part(deployment_id)}"
        return self._understood(path, Deployment, self.session.call("GET", path).content)

    def statistics(self, deployment_id: str) -> Statistics:
        path = f"{DEPLOYMENTS}/{_part(deployment_id)}/statistics"
        content = self.session.call("GET", path).content
        return statistics_of(self._understood(path, dict[str, int], content))

    def progress(self, deployment_id: str) -> list[DeviceProgress]:
        """Of those that have asked; who has not is in `Deployment.device_ids` only."""
        path = f"{DEPLOYMENTS}/{_part(deployment_id)}/devices/list"
        return list(self._pages(path, DeviceProgress, {}))

    def device_log(self, deployment_id: str, device_id: str) -> str | None:
        """What the robot wrote when it failed; None: it sent none."""
        path = f"{DEPLOYMENTS}/{_part(deployment_id)}/devices/{_part(device_id)}/log"
        try:
            return self.session.call("GET", path).text
        except NotFoundError:
            return None

    def abort(self, deployment_id: str) -> bool:
        """False: it was over already. Nothing but `aborted` is ever sent: the server refuses every
        other word, and aborts all the same."""
        path = f"{DEPLOYMENTS}/{_part(deployment_id)}/status"
        try:
            self.session.call("PUT", path, json={"status": "aborted"})
        except RefusedError:
            # 422 means over or never heard of, and after a lost answer that it was our own abort.
            if self.deployment(deployment_id).is_over:
                return False
            raise
        return True

    # Devices

    def devices(self, status: AuthStatus | None = None) -> list[Device]:
        query = {} if status is None else {"status": status.value}
        return list(self._pages(DEVAUTH, Device, query))

    def device(self, device_id: str) -> Device:
        path = f"{DEVAUTH}/{_part(device_id)}"
        return self._understood(path, Device, self.session.call("GET", path).content)

    def accept(self, device_id: str, auth: AuthSet) -> None:
        """Of one key; the server then rejects the key that was accepted before."""
        self._decide(device_id, auth, AuthStatus.ACCEPTED)

    def reject(self, device_id: str, auth: AuthSet) -> None:
        self._decide(device_id, auth, AuthStatus.REJECTED)

    def _decide(self, device_id: str, auth: AuthSet, status: AuthStatus) -> None:
        path = f"{DEVAUTH}/{_part(device_id)}/auth/{_part(auth.id)}/status"
        self.session.call("PUT", path, json={"status": status.value})

    def preauthorize(self, identity: Mapping[str, str], pubkey_pem: str) -> bool:
        """So that the robot is accepted when it first asks. False: this key is known already."""
        body = {"identity_data": dict(identity), "pubkey": pubkey_pem}
        try:
            self.session.call("POST", DEVAUTH, repeatable=True, json=body)
        except ConflictError:
            return self._settle(identity, pubkey_pem)
        return True

    def _settle(self, identity: Mapping[str, str], pubkey_pem: str) -> bool:
        """The robot asked before it was announced, or this is asked twice, or its key is new."""
        known = next((d for d in self.devices() if d.identity == dict(identity)), None)
        if known is None:
            raise ConflictError(
                self.session.address.url,
                f"a device of identity {dict(identity)} that it does not list",
                "this robot cannot be announced",
                "bedplate ota devices",
            )
        mine = next((a for a in known.auth_sets if a.pubkey.strip() == pubkey_pem.strip()), None)
        if mine is None:
            body = {"identity_data": dict(identity), "pubkey": pubkey_pem, "force": True}
            self.session.call("POST", DEVAUTH, repeatable=True, json=body)
            return True
        if mine.status in (AuthStatus.ACCEPTED, AuthStatus.PREAUTHORIZED):
            return False
        self.accept(known.id, mine)
        return True

    def decommission(self, device_id: str, *, anyway: bool = False) -> None:
        """Refused while a deployment waits for its first word: it would never end."""
        waiting = [] if anyway else self.deployments_waiting_for(device_id)
        if waiting:
            names = ", ".join(f"{d.name} ({d.id})" for d in waiting)
            raise WishError(
                f"device {device_id}",
                f"deployments that wait for its first word: {names}",
                "the server would go on waiting for it, and they would never finish",
                "abort them first, or say --anyway",
            )
        self.session.call("DELETE", f"{DEVAUTH}/{_part(device_id)}")

    def deployments_waiting_for(self, device_id: str) -> list[Deployment]:
        active = [*self.deployments("pending"), *self.deployments("inprogress")]
        return [
            d
            for d in active
            if device_id in d.device_ids and all(row.id != device_id for row in self.progress(d.id))
        ]

    # Inventory and groups

    def inventory(self, device_ids: Sequence[str] = ()) -> list[Inventory]:
        path = f"{V2}/inventory/filters/search"
        rows: list[Inventory] = []
        for page in range(1, PAGES_MAX):
            body: dict[str, Any] = {"page": page, "per_page": PER_PAGE}
            if device_ids:
                body["device_ids"] = list(device_ids)
            reply = self.session.call("POST", path, repeatable=True, json=body)
            found = self._understood(path, list[Inventory], reply.content)
            rows += found
            if len(found) < PER_PAGE:
                break
        return rows

    def groups(self) -> list[str]:
        path = f"{INVENTORY}/groups"
        return self._understood(path, list[str], self.session.call("GET", path).content)

    def group(self, name: str) -> list[str]:
        """Ids of its members; none where there is no such group, for a group is its members."""
        path = f"{INVENTORY}/groups/{_part(name)}/devices"
        try:
            return list(self._pages(path, str, {}))
        except NotFoundError:
            return []

    def join_group(self, name: str, device_ids: Sequence[str]) -> None:
        """The server passes over who it does not know and says all is well: it is counted here."""
        check_devices(device_ids)
        path = f"{INVENTORY}/groups/{_part(name)}/devices"
        reply = self.session.call("PATCH", path, json=list(device_ids))
        matched = self._understood(path, dict[str, int], reply.content).get("matched_count", 0)
        if matched != len(device_ids):
            raise NotFoundError(
                f"group {name}",
                f"{len(device_ids) - matched} of {len(device_ids)} devices unknown to the server",
                "who is in no group gets nothing that is deployed to it",
                "bedplate ota devices",
            )

    def leave_group(self, name: str, device_ids: Sequence[str]) -> None:
        path = f"{INVENTORY}/groups/{_part(name)}/devices"
        self.session.call("DELETE", path, json=list(device_ids))

    def _pages(self, path: str, kind: type[T], query: Mapping[str, str]) -> Iterator[T]:
        """Until a page is not full: `next` is offered after the last one too, and not every list
        has a total."""
        for page in range(1, PAGES_MAX):
            params = {**query, "page": page, "per_page": PER_PAGE}
            reply = self.session.call("GET", path, params=params)
            rows = self._understood(path, list[kind], reply.content)
            yield from rows
            if len(rows) < PER_PAGE:
                return
        raise self._odd(path, f"more than {PAGES_MAX} pages")

    def _understood(self, path: str, kind: type[T], content: bytes) -> T:
        try:
            return TypeAdapter(kind).validate_json(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the whole answer"
            raise self._odd(path, f"{place}: {first['msg']}") from error

    def _made(self, location: str, path: str) -> str:
        made = location.rstrip("/").rsplit("/", 1)[-1]
        if not made:
            raise self._odd(path, "no name of what was made")
        return made

    def _odd(self, path: str, got: str) -> AnswerError:
        return AnswerError(
            f"{self.session.address.url}{path}",
            got,
            "what the server has cannot be known from that",
            "whether the address is that of a Mender server, and docs/mender.md for its versions",
        )


def check_name(name: str) -> None:
    if not 1 <= len(name) <= NAME_MAX:
        raise WishError(
            "the deployment's name",
            f"{len(name)} characters",
            f"the server takes 1 to {NAME_MAX}",
            "a shorter one, as  canary-2026-11",
        )


def check_devices(device_ids: Sequence[str]) -> None:
    twice = [name for name, count in Counter(device_ids).items() if count > 1]
    if not device_ids:
        raise WishError("the deployment", "no robots", "it would do nothing", "name at least one")
    if twice:
        raise WishError(
            "the deployment",
            f"named more than once: {', '.join(twice[:5])}",
            "the server counts such a robot twice and waits for ever for the second",
            "name each robot once",
        )
    if len(device_ids) > DEVICES_MAX:
        raise WishError(
            "the deployment",
            f"{len(device_ids)} robots",
            f"the server refuses a list much longer than {DEVICES_MAX}",
            "several deployments, or one for a group",
        )


def batches(device_ids: Sequence[str], size: int = DEVICES_MAX) -> list[tuple[str, ...]]:
    """For whoever has more robots than one deployment holds: in order, each once."""
    ids = tuple(dict.fromkeys(device_ids))
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def _part(text: str) -> str:
    """As one part of a path, whatever it holds."""
    if text in ("", ".", ".."):
        raise WishError("a name", repr(text), "it would ask for something else", "its real name")
    return quote(text, safe="")
