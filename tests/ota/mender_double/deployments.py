"""Deployments from the operator's side: made, looked at, aborted, with the server's own flaws."""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from tests.ota.mender_double.progress import new_statistics, recount, set_status, settle
from tests.ota.mender_double.replies import (
    Refused,
    counted,
    created,
    cut,
    empty,
    json_body,
    number,
    page_of,
)
from tests.ota.mender_double.state import (
    FINISHED,
    PAUSES,
    Deployment,
    DeviceDeployment,
    DeviceStatus,
    Mender,
    is_uuid,
    new_id,
    stamp,
)

NAME_MAX = 256
# "aborted" is listed nowhere as a state of a deployment, and taken for finished.
FILTERS = {"pending": "pending", "inprogress": "inprogress"} | dict.fromkeys(
    ("finished", "aborted"), "finished"
)


class Deployments:
    def __init__(self, mender: Mender) -> None:
        self.mender = mender

    async def create(self, request: Request) -> Response:
        body = _body(await json_body(request))
        devices, everybody = body.get("devices"), body.get("all_devices", False)
        if not isinstance(everybody, bool) or bool(devices) == everybody:
            raise Refused(400, "Invalid deployments definition: provide list of devices or set"
                          " all_devices flag")  # fmt: skip
        if everybody:
            devices = [device.id for device in self.mender.accepted()]
        if not _is_ids(devices):
            raise Refused(400, "devices: must be a list of identifiers, and not empty")
        return self._make(body, devices, [], "deployments")

    async def create_for_group(self, request: Request) -> Response:
        body = _body(await json_body(request))
        name = request.path_params["name"]
        members = [device.id for device in self.mender.group(name)]
        if body.get("devices") or body.get("all_devices"):
            raise Refused(400, "Invalid deployment definition: the group says which devices")
        if not members:
            raise Refused(400, "Invalid deployment definition: there are no devices in the group")
        return self._make(body, members, [name], name)

    def _make(self, body: dict[str, Any], ids: list[str], groups: list[str], base: str) -> Response:
        name, artifact_name = body["name"], body["artifact_name"]
        artifacts = [a.id for a in self.mender.artifacts.values() if a.name == artifact_name]
        if not artifacts:
            raise Refused(422, "No artifact for the deployment")
        # Compared as sent: the same devices in another order are another deployment.
        if any(
            d.finished is None and (d.name, d.artifact_name, d.device_ids) == (
                name, artifact_name, ids
            )
            for d in self.mender.deployments.values()
        ):  # fmt: skip
            raise Refused(409, "A deployment with the same parameters already exists")
        deployment = Deployment(
            id=new_id(),
            sequence=self.mender.next_sequence(),
            name=name,
            artifact_name=artifact_name,
            device_ids=ids,
            groups=groups,
            force=bool(body.get("force_installation", False)),
            created=self.mender.now(),
            artifact_ids=artifacts,
            statistics=new_statistics(len(ids)),
        )
        self.mender.deployments[deployment.id] = deployment
        return created(f"./{base}/{deployment.id}")

    async def list_all(self, request: Request) -> Response:
        page, per_page = page_of(request)
        status, sort = request.query_params.get("status"), request.query_params.get("sort", "desc")
        if status is not None and status not in FILTERS:
            raise Refused(400, "unknown status")
        if sort not in ("asc", "desc") or request.query_params.get("type", "software") not in (
            "software",
            "configuration",
        ):
            raise Refused(400, "unknown sort or type")
        before, after = (
            number(request, "created_before", 10**17),
            number(request, "created_after", 0),
        )
        search = request.query_params.get("search", "")
        rows = [
            d
            for d in self.mender.deployments.values()
            if (status is None or d.status == FILTERS[status])
            and request.query_params.get("type", "software") == "software"
            and after <= d.created <= before
            and (not search or search in (d.name, d.id, d.artifact_name))
        ]
        rows.sort(key=lambda d: d.sequence, reverse=sort == "desc")
        headers = counted(request, rows, page, per_page)
        return JSONResponse([_row(d) for d in cut(rows, page, per_page)], headers=headers)

    async def get(self, request: Request) -> Response:
        return JSONResponse(_row(self._known(request)))

    async def statistics(self, request: Request) -> Response:
        return JSONResponse(self._known(request).statistics)

    async def put_status(self, request: Request) -> Response:
        """Abort. Any other word is refused, and aborts all the same: a flaw of the server."""
        identifier = request.path_params["id"]
        body = await json_body(request)
        if not is_uuid(identifier):
            raise Refused(400, "ID is not a valid UUID")
        wish = body.get("status") if isinstance(body, dict) else None
        if not isinstance(wish, str) or wish not in set(DeviceStatus):
            raise Refused(400, "unexpected deployment status")
        deployment = self.mender.deployments.get(identifier)
        if deployment is None or deployment.finished is not None:
            raise Refused(422, "Deployment already finished")
        _abort(deployment, self.mender.now())
        if wish != DeviceStatus.ABORTED:
            raise Refused(400, "unexpected deployment status")
        return empty()

    async def devices(self, request: Request) -> Response:
        deployment = self._known(request)
        page, per_page = page_of(request)
        rows = _of_status(deployment.devices.values(), request.query_params.get("status"))
        headers = counted(request, rows, page, per_page)
        shown = cut(rows, page, per_page)
        return JSONResponse([_device_row(d) for d in shown], headers=headers)

    async def log(self, request: Request) -> Response:
        found = self._known(request).devices.get(request.path_params["device_id"])
        if found is None or found.log is None:
            raise Refused(404, "Resource not found")
        lines = [f"{m['timestamp']} {m['level']}: {m['message']}\n" for m in found.log]
        return PlainTextResponse("".join(lines))

    async def of_device(self, request: Request) -> Response:
        page, per_page = page_of(request)
        pairs = [
            (deployment, mine)
            for deployment in self.mender.deployments.values()
            if (mine := deployment.devices.get(request.path_params["id"])) is not None
        ]
        kept = _of_status([mine for _, mine in pairs], request.query_params.get("status"))
        rows = [
            {"id": mine.id, "deployment": _row(d), "device": _device_row(mine)}
            for d, mine in pairs
            if mine in kept
        ]
        headers = counted(request, rows, page, per_page)
        return JSONResponse(cut(rows, page, per_page), headers=headers)

    async def abort_device(self, request: Request) -> Response:
        for deployment in self.mender.deployments.values():
            _leave(deployment, request.path_params["id"], DeviceStatus.ABORTED, self.mender.now())
        return empty()

    def _known(self, request: Request) -> Deployment:
        deployment = self.mender.deployments.get(request.path_params["id"])
        if deployment is None:
            raise Refused(404, "Resource not found")
        return deployment


def decommission_in_deployments(mender: Mender, device_id: str) -> None:
    for deployment in mender.deployments.values():
        _leave(deployment, device_id, DeviceStatus.DECOMMISSIONED, mender.now())


def _leave(deployment: Deployment, device_id: str, status: DeviceStatus, now: float) -> None:
    """One device goes. Who has never polled stays counted as pending: a flaw of the server."""
    if deployment.finished is not None or device_id not in deployment.device_ids:
        return
    mine = deployment.devices.get(device_id)
    if mine is None:
        deployment.passed_over.add(device_id)
    elif mine.status not in FINISHED:
        set_status(deployment, mine, status, now)
        settle(deployment, now)


def _abort(deployment: Deployment, now: float) -> None:
    for mine in deployment.devices.values():
        if mine.status not in FINISHED:
            mine.status, mine.finished = DeviceStatus.ABORTED, now
    recount(deployment)
    deployment.finished = now


def _body(body: Any) -> dict[str, Any]:
    """Unknown fields are passed over in silence, `phases` and `retries` among them."""
    if not isinstance(body, dict):
        raise Refused(400, "Validating request body: not an object")
    for key in ("name", "artifact_name"):
        value = body.get(key)
        if not isinstance(value, str) or not 1 <= len(value) <= NAME_MAX:
            raise Refused(400, f"Validating request body: {key}: the length must be 1 to 256")
    if not isinstance(body.get("force_installation", False), bool):
        raise Refused(400, "Validating request body: force_installation: must be a boolean")
    return body


def _is_ids(devices: Any) -> bool:
    return (
        isinstance(devices, list)
        and bool(devices)
        and all(isinstance(item, str) and item for item in devices)
    )


STATUS_WORD = re.compile("|".join([*map(re.escape, DeviceStatus), "pause", "active", "finished"]))


def _of_status(rows: Any, wanted: str | None) -> list[DeviceDeployment]:
    if wanted is not None and STATUS_WORD.fullmatch(wanted) is None:
        raise Refused(400, "unknown status")
    sets = {
        "pause": PAUSES,
        "active": set(DeviceStatus) - FINISHED,
        "finished": FINISHED,
    }
    return [d for d in rows if wanted is None or d.status in sets.get(wanted, {wanted})]


def _row(deployment: Deployment) -> dict[str, Any]:
    total = sum(d.artifact.size for d in deployment.devices.values() if d.artifact is not None)
    row = {
        "id": deployment.id,
        "name": deployment.name,
        "artifact_name": deployment.artifact_name,
        "created": stamp(deployment.created),
        "status": deployment.status,
        "device_count": len(deployment.devices),
        "max_devices": deployment.max_devices,
        "artifacts": deployment.artifact_ids,
        "groups": deployment.groups,
        "type": "software",
        "force_installation": deployment.force,
        "statistics": {"status": deployment.statistics, "total_size": total},
        "filter": {
            "terms": [
                {
                    "scope": "identity",
                    "attribute": "id",
                    "type": "$in",
                    "value": deployment.device_ids,
                }
            ]
        },
    }
    if deployment.finished is not None:
        row["finished"] = stamp(deployment.finished)
    return row


def _device_row(mine: DeviceDeployment) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": mine.device_id,
        "status": mine.status,
        "created": stamp(mine.created),
        "device_type": mine.device_type,
        "log": mine.log is not None,
        "substate": mine.substate,
    }
    for key in ("started", "finished"):
        moment = getattr(mine, key)
        if moment is not None:
            row[key] = stamp(moment)
    if mine.artifact is not None:
        row["image"] = {"id": mine.artifact.id, "size": mine.artifact.size}
    return row
