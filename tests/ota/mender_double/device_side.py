"""Deployments from the device's side: what is next, how it goes, the log of a failure."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.ota.mender_double.artifacts import DEVICE_LINK_S, link
from tests.ota.mender_double.progress import set_status, settle
from tests.ota.mender_double.replies import Refused, empty, error, json_body
from tests.ota.mender_double.state import (
    FINISHED,
    LOCKED,
    Artifact,
    Deployment,
    Device,
    DeviceDeployment,
    DeviceStatus,
    Mender,
    new_id,
)

SUBSTATE_MAX = 200
# What a device may say of itself; the rest is the server's own word.
REPORTABLE = set(DeviceStatus) - {
    DeviceStatus.PENDING,
    DeviceStatus.NO_ARTIFACT,
    DeviceStatus.ABORTED,
    DeviceStatus.DECOMMISSIONED,
}


class DeviceSide:
    def __init__(self, mender: Mender) -> None:
        self.mender = mender

    async def next_get(self, request: Request) -> Response:
        return self._next(request, dict(request.query_params))

    async def next_post(self, request: Request) -> Response:
        body = await json_body(request)
        if not isinstance(body, dict):
            raise Refused(400, "failed to decode request body")
        # Either spelling: the provides themselves, or under a key of their own.
        provides = body.get("device_provides", body)
        return self._next(request, provides if isinstance(provides, dict) else {})

    def _next(self, request: Request, told: dict[str, Any]) -> Response:
        for key in ("artifact_name", "device_type"):
            if not isinstance(told.get(key), str) or not told[key]:
                raise Refused(400, f"{key}: cannot be blank")
        device: Device = request.state.device
        deployment = self._oldest(device)
        if deployment is None:
            return empty()
        mine = deployment.devices.get(device.id)
        if mine is None:
            now = self.mender.now()
            mine = DeviceDeployment(new_id(), device.id, now, told, told["device_type"])
            deployment.devices[device.id] = mine
        elif mine.request != told:
            self._move(deployment, mine, DeviceStatus.FAILURE)
            return error(409, "device provided conflicting request data")
        return self._offer(request, deployment, mine)

    def _oldest(self, device: Device) -> Deployment | None:
        """Deployments older than the newest one this device has ended are past."""
        rows = self.mender.deployments.values()
        ended = max((d.sequence for d in rows if _has_ended(d, device.id)), default=0)
        return next(
            (
                d
                for d in rows
                if d.finished is None
                and d.sequence > ended
                and device.id in d.device_ids
                and device.id not in d.passed_over
            ),
            None,
        )

    def _offer(self, request: Request, deployment: Deployment, mine: DeviceDeployment) -> Response:
        if mine.artifact is None:
            told = mine.request
            if told["artifact_name"] == deployment.artifact_name and not deployment.force:
                self._move(deployment, mine, DeviceStatus.ALREADY_INSTALLED)
                return empty()
            mine.artifact = self._suitable(deployment, told["device_type"])
        if mine.artifact is None:
            self._move(deployment, mine, DeviceStatus.NO_ARTIFACT)
            return empty()
        artifact = {
            "id": mine.artifact.id,
            "artifact_name": mine.artifact.name,
            "source": link(self.mender, request, mine.artifact, DEVICE_LINK_S),
            "device_types_compatible": mine.artifact.device_types,
        }
        return JSONResponse({"id": deployment.id, "artifact": artifact})

    def _suitable(self, deployment: Deployment, device_type: str) -> Artifact | None:
        """By device type alone: what else an artifact depends on, the device looks at itself."""
        known = [self.mender.artifacts.get(name) for name in deployment.artifact_ids]
        return next((a for a in known if a is not None and device_type in a.device_types), None)

    async def put_status(self, request: Request) -> Response:
        _require_json(request)
        body = await json_body(request)
        if body == {}:
            raise Refused(
                500, "internal error"
            )  # the server's own way to say that a word is missing
        status = body.get("status") if isinstance(body, dict) else None
        if not isinstance(status, str) or status not in REPORTABLE:
            raise Refused(400, "unknown status value")
        substate = body.get("substate") or ""
        if not isinstance(substate, str) or len(substate) > SUBSTATE_MAX:
            raise Refused(400, "substate: the length must be no more than 200")
        deployment, mine = self._mine(request)
        if mine.status in LOCKED:
            raise Refused(409, "Deployment aborted")
        mine.substate = substate
        self._move(deployment, mine, DeviceStatus(status))
        return empty()

    async def put_log(self, request: Request) -> Response:
        _require_json(request)
        body = await json_body(request)
        messages = body.get("messages") if isinstance(body, dict) else None
        if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
            raise Refused(400, "messages: timestamp, level and message are wanted")
        _, mine = self._mine(request)
        mine.log = messages
        return empty()

    def _mine(self, request: Request) -> tuple[Deployment, DeviceDeployment]:
        deployment = self.mender.deployments.get(request.path_params["id"])
        mine = None if deployment is None else deployment.devices.get(request.state.device.id)
        if deployment is None or mine is None:
            raise Refused(404, "Resource not found")
        return deployment, mine

    def _move(self, deployment: Deployment, mine: DeviceDeployment, status: DeviceStatus) -> None:
        set_status(deployment, mine, status, self.mender.now())
        settle(deployment, self.mender.now())


def _has_ended(deployment: Deployment, device_id: str) -> bool:
    mine = deployment.devices.get(device_id)
    return mine is not None and mine.status in FINISHED


def _require_json(request: Request) -> None:
    kind = request.headers.get("content-type", "")
    if not kind:
        raise Refused(400, "mime: no media type")
    if kind.split(";")[0].strip().lower() != "application/json":
        raise Refused(415, "unsupported Content-Type")


def _is_message(item: Any) -> bool:
    return isinstance(item, dict) and all(
        isinstance(item.get(key), str) and item[key] for key in ("timestamp", "level", "message")
    )
