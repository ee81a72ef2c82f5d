"""Artifacts: uploaded, listed, downloaded by a link that ends, deleted unless in use."""

import hashlib
import hmac
import shutil
from dataclasses import replace
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from tests.ota.mender_double.artifact_file import NoArtifactError, read_artifact
from tests.ota.mender_double.replies import (
    Refused,
    counted,
    created,
    cut,
    empty,
    json_body,
    page_of,
)
from tests.ota.mender_double.state import Artifact, Mender, new_id, stamp
from tests.ota.mender_double.tokens import SECRET

DEVICE_LINK_S = 24 * 3600
MANAGEMENT_LINK_S = 15 * 60
SORTS = {"name:asc", "name:desc", "modified:asc", "modified:desc"}


class Artifacts:
    def __init__(self, mender: Mender) -> None:
        self.mender = mender

    async def upload(self, request: Request) -> Response:
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise Refused(415, "request Content-Type isn't multipart/form-data")
        try:
            async with request.form() as form:
                artifact = self._take(form)
        except (MultiPartException, AssertionError) as problem:
            raise Refused(400, f"multipart: {problem}") from problem
        except Exception as problem:
            # Starlette's own word for a broken form, where an application is around it.
            if getattr(problem, "status_code", None) != 400 or isinstance(problem, Refused):
                raise
            raise Refused(400, "multipart: malformed") from problem
        clash = [a for a in self.mender.artifacts.values() if a.conflicts(artifact)]
        if clash:
            artifact.file.unlink()
            raise Refused(409, "An artifact with the same name and depends already exists.")
        self.mender.artifacts[artifact.id] = artifact
        for deployment in self.mender.deployments.values():
            if deployment.artifact_name == artifact.name:
                deployment.artifact_ids.append(artifact.id)
        return created(f"./artifacts/{artifact.id}")

    def _take(self, form: FormData) -> Artifact:
        sent, description = form.get("artifact"), form.get("description", "")
        size = form.get("size")
        if not isinstance(sent, UploadFile) or not isinstance(description, str):
            raise Refused(400, "missing artifact file in the form")
        if size is not None and not (isinstance(size, str) and size.isascii() and size.isdigit()):
            raise Refused(400, "size: not a number")
        identifier = new_id()
        path = self.mender.folder / f"{identifier}.mender"
        with path.open("wb") as file:
            shutil.copyfileobj(sent.file, file)
        try:
            contents = read_artifact(path)
        except NoArtifactError as problem:
            path.unlink()
            raise Refused(400, f"Cannot parse artifact file: {problem}") from problem
        return Artifact(
            id=identifier,
            name=contents.name,
            description=description,
            device_types=contents.device_types,
            depends=contents.depends,
            provides=contents.provides,
            clears=contents.clears,
            updates=contents.updates,
            version=contents.version,
            signed=contents.signed,
            size=path.stat().st_size,
            modified=self.mender.now(),
            file=path,
        )

    async def list_all(self, request: Request) -> Response:
        page, per_page = page_of(request)
        rows = self._filtered(request)
        sort = request.query_params.get("sort", "name:asc")
        if sort not in SORTS:
            raise Refused(400, "sort: must be a valid value")
        key, _, way = sort.partition(":")
        rows.sort(key=lambda a: a.name if key == "name" else a.modified, reverse=way == "desc")
        headers = counted(request, rows, page, per_page)
        return JSONResponse([_row(a) for a in cut(rows, page, per_page)], headers=headers)

    async def all(self, request: Request) -> Response:
        return JSONResponse([_row(artifact) for artifact in self._filtered(request)])

    def _filtered(self, request: Request) -> list[Artifact]:
        name = request.query_params.get("name")
        device_type = request.query_params.get("device_type")
        description = request.query_params.get("description", "")
        return [
            a
            for a in self.mender.artifacts.values()
            if (not name or a.name == name)
            and (not device_type or device_type in a.device_types)
            and description in a.description
        ]

    async def releases(self, request: Request) -> Response:
        names = dict.fromkeys(artifact.name for artifact in self._filtered(request))
        rows = []
        for name in names:
            members = [a for a in self.mender.artifacts.values() if a.name == name]
            modified = max(a.modified for a in members)
            rows.append(
                {
                    "Name": name,
                    "modified": stamp(modified),
                    "Artifacts": [_row(a) for a in members],
                    "ArtifactsCount": len(members),
                }
            )
        return JSONResponse(rows)

    async def get(self, request: Request) -> Response:
        return JSONResponse(_row(self._known(request)))

    async def edit(self, request: Request) -> Response:
        artifact = self._known(request)
        body = await json_body(request)
        if not isinstance(body, dict) or not isinstance(body.get("description", ""), str):
            raise Refused(400, "description: must be a text")
        used = any(d.artifact_name == artifact.name for d in self.mender.deployments.values())
        if used:
            raise Refused(422, "Artifact is used in a deployment and can not be edited")
        changed = replace(artifact, description=body.get("description", ""))
        self.mender.artifacts[artifact.id] = changed
        return empty()

    async def delete(self, request: Request) -> Response:
        artifact = self._known(request)
        active = any(
            d.finished is None and artifact.id in d.artifact_ids
            for d in self.mender.deployments.values()
        )
        if active:
            raise Refused(409, "Artifact is used in an active deployment and can not be deleted")
        del self.mender.artifacts[artifact.id]
        artifact.file.unlink()
        return empty()

    async def download(self, request: Request) -> Response:
        return JSONResponse(link(self.mender, request, self._known(request), MANAGEMENT_LINK_S))

    async def storage(self, request: Request) -> Response:
        """Where links lead: no token, only the link's own signature and end."""
        identifier, expire = request.path_params["id"], request.query_params.get("expire", "")
        given = request.query_params.get("signature", "")
        genuine = hmac.compare_digest(_sign(identifier, expire).encode(), given.encode())
        artifact = self.mender.artifacts.get(identifier)
        if not genuine or self.mender.now() > float(expire):
            raise Refused(403, "Request has expired")
        if artifact is None:
            raise Refused(404, "no such file")
        return FileResponse(artifact.file, media_type="application/vnd.mender-artifact")

    def _known(self, request: Request) -> Artifact:
        artifact = self.mender.artifacts.get(request.path_params["id"])
        if artifact is None:
            raise Refused(404, "Resource not found")
        return artifact


def link(mender: Mender, request: Request, artifact: Artifact, life_s: float) -> dict[str, str]:
    end = int(mender.now() + life_s)
    base = f"{request.url.scheme}://{request.url.netloc}"
    query = f"expire={end}&signature={_sign(artifact.id, str(end))}"
    return {"uri": f"{base}/storage/{artifact.id}?{query}", "expire": stamp(end)}


def _sign(identifier: str, expire: str) -> str:
    return hmac.new(SECRET, f"{identifier} {expire}".encode(), hashlib.sha256).hexdigest()


def _row(artifact: Artifact) -> dict[str, Any]:
    return {
        "id": artifact.id,
        "name": artifact.name,
        "description": artifact.description,
        "device_types_compatible": artifact.device_types,
        "info": {"format": "mender", "version": artifact.version},
        "signed": artifact.signed,
        "updates": artifact.updates,
        "artifact_provides": artifact.provides,
        "artifact_depends": artifact.depends,
        "clears_artifact_provides": artifact.clears,
        "size": artifact.size,
        "modified": stamp(artifact.modified),
    }
