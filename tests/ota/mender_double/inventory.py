"""What devices tell of themselves, groups, and the search over both."""

import operator
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.ota.mender_double.replies import Refused, counted, cut, empty, json_body, page_of
from tests.ota.mender_double.state import Attribute, Device, Mender, stamp

# 150 in one request are refused and a robot's few dozen are not; where between, nobody has looked.
ATTRIBUTES_MAX = 100
GROUP_NAME = re.compile(r"[A-Za-z0-9_-]{1,1024}")
PER_PAGE = 20


class Inventory:
    def __init__(self, mender: Mender) -> None:
        self.mender = mender

    async def patch(self, request: Request) -> Response:
        device: Device = request.state.device
        merged = {**device.attributes, **_attributes(await json_body(request))}
        if len(merged) > ATTRIBUTES_MAX:
            raise Refused(400, "too many attributes")
        return self._store(device, merged)

    async def put(self, request: Request) -> Response:
        return self._store(request.state.device, _attributes(await json_body(request)))

    def _store(self, device: Device, attributes: dict[str, Attribute]) -> Response:
        device.attributes = attributes
        device.updated = self.mender.now()
        return empty(200)

    async def search(self, request: Request) -> Response:
        raw = await request.body()
        body = await json_body(request) if raw else {}
        if not isinstance(body, dict):
            raise Refused(400, "failed to decode request body")
        page, per_page = _positive(body, "page", 1), _positive(body, "per_page", PER_PAGE)
        filters, ids = _list_of(body, "filters", dict), _list_of(body, "device_ids", str)
        rows = [
            device
            for device in self.mender.devices.values()
            if (not ids or device.id in ids) and all(_matches(device, item) for item in filters)
        ]
        wanted = _list_of(body, "attributes", dict)
        headers = counted(request, rows, page, per_page)
        shown = cut(rows, page, per_page)
        return JSONResponse([_row(device, wanted) for device in shown], headers=headers)

    async def groups(self, _request: Request) -> Response:
        names = {device.group for device in self.mender.devices.values() if device.group}
        return JSONResponse(sorted(names))

    async def group_devices(self, request: Request) -> Response:
        page, per_page = page_of(request, 10)
        ids = [device.id for device in self.mender.group(request.path_params["name"])]
        if not ids:
            raise Refused(404, "group not found")
        headers = counted(request, ids, page, per_page)
        return JSONResponse(cut(ids, page, per_page), headers=headers)

    async def join(self, request: Request) -> Response:
        """Many at once. Who is unknown is not counted, and a count of nothing is left out."""
        name = _group_name(request.path_params["name"])
        known = self._known(await json_body(request))
        changed = [device for device in known if device.group != name]
        for device in changed:
            device.group = name
        counts = {"matched_count": len(known), "updated_count": len(changed)}
        return JSONResponse({key: count for key, count in counts.items() if count})

    async def leave(self, request: Request) -> Response:
        name = _group_name(request.path_params["name"])
        left = [d for d in self._known(await json_body(request)) if d.group == name]
        for device in left:
            device.group = ""
        return JSONResponse({"updated_count": len(left)})

    def _known(self, ids: Any) -> list[Device]:
        if not isinstance(ids, list) or not ids or not all(isinstance(i, str) for i in ids):
            raise Refused(400, "no device IDs present in payload")
        return [self.mender.devices[i] for i in dict.fromkeys(ids) if i in self.mender.devices]

    async def get_group(self, request: Request) -> Response:
        return JSONResponse({"group": self._device(request).group})

    async def put_group(self, request: Request) -> Response:
        body = await json_body(request)
        if not isinstance(body, dict) or not isinstance(body.get("group"), str):
            raise Refused(400, "group name can not be empty")
        name = _group_name(body["group"])
        self._device(request).group = name
        return empty()

    async def drop_group(self, request: Request) -> Response:
        device = self._device(request)
        if device.group != request.path_params["name"]:
            raise Refused(404, "device not found in the group")
        device.group = ""
        return empty()

    def _device(self, request: Request) -> Device:
        device = self.mender.devices.get(request.path_params["id"])
        if device is None:
            raise Refused(404, "Device not found")
        return device


def _attributes(body: Any) -> dict[str, Attribute]:
    if not isinstance(body, list) or len(body) > ATTRIBUTES_MAX:
        raise Refused(400, "a list of attributes is wanted, and not too many")
    found = {}
    for item in body:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str) or not item["name"]:
            raise Refused(400, "name: cannot be blank")
        if not _is_value(item.get("value")):
            raise Refused(400, f"value of {item['name']!r}: not supported")
        description = str(item.get("description") or "")
        found[item["name"]] = Attribute(item["name"], "inventory", item["value"], description)
    return found


def _is_value(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(v, str) for v in value) or all(_is_number(v) for v in value)
    return isinstance(value, str) or _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _group_name(name: str) -> str:
    if GROUP_NAME.fullmatch(name) is None:
        raise Refused(400, "Group name can only contain: letters, digits, - and _")
    return name


def _positive(body: dict[str, Any], key: str, default: int) -> int:
    value = body.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 10**9:
        raise Refused(400, f"{key}: must be a positive number")
    return value or default


def _list_of(body: dict[str, Any], key: str, kind: type) -> list[Any]:
    value = body.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
        raise Refused(400, f"{key}: must be a list")
    return value


def _all_attributes(device: Device) -> list[Attribute]:
    system = {
        "created_ts": stamp(device.created),
        "updated_ts": stamp(device.updated),
        "group": device.group,
    }
    return [
        Attribute("status", "identity", str(device.status)),
        *(Attribute(name, "identity", value) for name, value in device.identity.items()),
        *(Attribute(name, "system", value) for name, value in system.items() if value),
        *device.attributes.values(),
    ]


ORDER = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


def _matches(device: Device, item: dict[str, Any]) -> bool:
    if not {"scope", "attribute", "type", "value"} <= set(item):
        raise Refused(400, "filters: scope, attribute, type and value are wanted")
    kind, wanted = item["type"], item["value"]
    if not isinstance(kind, str):
        raise Refused(400, "type: must be a valid value")
    found = next(
        (
            a
            for a in _all_attributes(device)
            if a.scope == item["scope"] and a.name == item["attribute"]
        ),
        None,
    )
    value = None if found is None else found.value
    if kind in ORDER:
        same = type(value) is type(wanted) and isinstance(value, str | int | float)
        return same and bool(ORDER[kind](value, wanted))
    match kind:
        case "$eq":
            return value == wanted
        case "$ne" | "$ltne":
            return value != wanted
        case "$in" | "$nin":
            if not isinstance(wanted, list):
                raise Refused(400, "value: must be a list")
            return (value in wanted) == (kind == "$in")
        case "$exists":
            return (found is not None) == bool(wanted)
        case "$regex":
            return _searched(wanted, value)
        case _:
            raise Refused(400, "type: must be a valid value")


def _searched(pattern: Any, value: Any) -> bool:
    try:
        return isinstance(value, str) and re.search(str(pattern), value) is not None
    except (re.error, OverflowError, RecursionError) as problem:
        raise Refused(400, "value: no regular expression") from problem


def _row(device: Device, wanted: list[dict[str, Any]]) -> dict[str, Any]:
    shown = [
        {"name": a.name, "scope": a.scope, "value": a.value}
        for a in _all_attributes(device)
        if not wanted or {"attribute": a.name, "scope": a.scope} in wanted
    ]
    return {"id": device.id, "updated_ts": stamp(device.updated), "attributes": shown}
