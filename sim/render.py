"""Pictures of a scene: colour, depth and ground-truth labels, on a GPU or a CPU."""

from __future__ import annotations

import ctypes.util
import importlib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim.robot_model import Group, Meshes
from sim.scene import Scene, SegKind

if TYPE_CHECKING:
    from collections.abc import Callable

GL_BACKENDS = ("egl", "osmesa")
MAX_GEOMS = 2000
FAR_M = 12.0  # what lies beyond reads 0, as a depth camera reports "no return"

RgbImage = NDArray[np.uint8]
DepthImage = NDArray[np.float32]


class GlContext(Protocol):
    def make_current(self) -> None: ...
    def free(self) -> None: ...


@dataclass(frozen=True)
class Segmentation:
    kind: NDArray[np.uint8]  # SegKind per pixel
    instance: NDArray[np.int16]  # which one of its kind, -1 where there is one only

    def visible_pixels(self, kind: SegKind, instance: int) -> int:
        return int(np.count_nonzero((self.kind == kind) & (self.instance == instance)))


def open_gl(width: int, height: int) -> tuple[GlContext, str]:
    """An off-screen context: EGL first, then OSMesa; MUJOCO_GL picks one and only that one."""
    wanted = os.environ.get("MUJOCO_GL", "")
    names = (wanted,) if wanted in GL_BACKENDS else GL_BACKENDS
    problems: list[str] = []
    for name in names:
        try:
            return _context_class(name)(width, height), name
        except Exception as error:  # noqa: BLE001 - GL loaders raise anything
            problems.append(f"{name}: {error}")
            _forget_gl()
    raise RuntimeError(
        "sim/render.py: no off-screen OpenGL, so cameras cannot be rendered; tried "
        + "; ".join(problems)
        + "; try  apt-get install libegl1 libegl-mesa0 libopengl0 libgl1-mesa-dri (or libosmesa6)"
    )


def _forget_gl() -> None:
    """PyOpenGL binds itself to one platform at import; the next try must import it anew."""
    stale = [name for name in sys.modules if name.split(".")[0] == "OpenGL"]
    for name in [*stale, *(f"mujoco.{backend}" for backend in GL_BACKENDS)]:
        sys.modules.pop(name, None)


def can_render() -> bool:
    """Whether this machine has any off-screen OpenGL."""
    return any(ctypes.util.find_library(name) for name in ("EGL", "OSMesa"))


def _context_class(name: str) -> Callable[[int, int], GlContext]:
    # Pictures this small gain nothing from drawing threads, which would disturb the control loop.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    os.environ["MUJOCO_GL"] = name
    os.environ["PYOPENGL_PLATFORM"] = name
    return importlib.import_module(f"mujoco.{name}").GLContext


class Renderer:
    """Draws one scene at one picture size; keep one per size, each is costly to open."""

    def __init__(
        self, scene: Scene, size: tuple[int, int], meshes: Meshes | str | None = None
    ) -> None:
        self.width, self.height = size
        self._scene = scene
        self._model = scene.model
        shown = scene.spec.meshes if meshes is None else Meshes(meshes)
        if shown is Meshes.VISUAL and scene.spec.meshes is Meshes.COLLISION:
            raise ValueError(
                "renderer: got meshes 'visual', but the scene was built with 'collision' only, so "
                "the arm would be invisible; try  Scene(..., meshes='visual')"
            )
        self._context, self.backend = open_gl(self.width, self.height)
        self._context.make_current()
        self._mjr = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._mjr)
        self._mjr.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self._mjv = mujoco.MjvScene(self._model, maxgeom=MAX_GEOMS)
        for flag in (
            mujoco.mjtRndFlag.mjRND_SHADOW,
            mujoco.mjtRndFlag.mjRND_REFLECTION,
            mujoco.mjtRndFlag.mjRND_SKYBOX,
            mujoco.mjtRndFlag.mjRND_HAZE,
        ):
            self._mjv.flags[flag] = False
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 0
        body = Group.ROBOT_VISUAL if shown is Meshes.VISUAL else Group.ROBOT_COLLISION
        self._option.geomgroup[[body, Group.CELL]] = 1
        self._option.sitegroup[:] = 0
        self._rect = mujoco.MjrRect(0, 0, self.width, self.height)
        self._rgb = np.empty((self.height, self.width, 3), dtype=np.uint8)
        self._zed = np.empty((self.height, self.width), dtype=np.float32)
        extent = self._model.stat.extent
        self._near, self._far = (
            float(value) * extent for value in (self._model.vis.map.znear, self._model.vis.map.zfar)
        )
        self._kinds, self._instances = scene.geom_labels()
        self._cameras: dict[str, mujoco.MjvCamera] = {}

    def rgbd(self, camera: str) -> tuple[RgbImage, DepthImage]:
        """Colour, and depth along the camera's axis in metres (0 where nothing is near enough)."""
        self._draw(camera)
        mujoco.mjr_readPixels(self._rgb, self._zed, self._rect, self._mjr)
        # Depth arrives reversed (1 at the near plane, 0 at the far one).
        near, far = np.float32(self._near), np.float32(self._far)
        depth = near * far / (near + self._zed * (far - near))
        depth[depth > FAR_M] = 0.0
        return self._rgb[::-1].copy(), depth[::-1].copy()

    def rgb(self, camera: str) -> RgbImage:
        self._draw(camera)
        mujoco.mjr_readPixels(self._rgb, None, self._rect, self._mjr)
        return self._rgb[::-1].copy()

    def grey(self, camera: str) -> NDArray[np.uint8]:
        """A picture as the grey cameras of the stereo pair give it."""
        picture = self.rgb(camera).astype(np.uint16)
        return ((77 * picture[..., 0] + 150 * picture[..., 1] + 29 * picture[..., 2]) >> 8).astype(
            np.uint8
        )

    def segmentation(self, camera: str) -> Segmentation:
        """Ground truth: what every pixel shows. For training and scoring, never for `runtime/`."""
        flags = self._mjv.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = True
        flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        try:
            self._draw(camera)
            mujoco.mjr_readPixels(self._rgb, None, self._rect, self._mjr)
        finally:
            flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = False
            flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = False
        colors = self._rgb[::-1].astype(np.int32)
        ids = colors[..., 0] + (colors[..., 1] << 8) + (colors[..., 2] << 16)
        kinds = np.zeros(self._mjv.ngeom + 1, dtype=np.uint8)
        instances = np.full(self._mjv.ngeom + 1, -1, dtype=np.int16)
        for geom in self._mjv.geoms[: self._mjv.ngeom]:
            if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                kinds[geom.segid + 1] = self._kinds[geom.objid]
                instances[geom.segid + 1] = self._instances[geom.objid]
        return Segmentation(kinds[ids], instances[ids])

    def close(self) -> None:
        self._context.make_current()
        self._mjr.free()
        self._context.free()

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _draw(self, camera: str) -> None:
        self._context.make_current()
        mujoco.mjv_updateScene(
            self._model,
            self._scene.data,
            self._option,
            None,
            self._camera(camera),
            mujoco.mjtCatBit.mjCAT_ALL.value,
            self._mjv,
        )
        mujoco.mjr_render(self._rect, self._mjv, self._mjr)

    def _camera(self, name: str) -> mujoco.MjvCamera:
        known = self._cameras.get(name)
        if known is not None:
            return known
        if name not in self._scene.layout.cameras:
            raise KeyError(
                f"renderer: got camera {name!r}, known are {sorted(self._scene.layout.cameras)}"
            )
        camera = mujoco.MjvCamera()
        camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        camera.fixedcamid = self._model.camera(name).id
        self._cameras[name] = camera
        return camera
