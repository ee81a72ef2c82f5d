"""Targets painted from labels, and the loss of every head."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from models.perception.graph import Net
from models.perception.zoo import KEYPOINTS

POSE_UNIT_PX = 16.0  # keypoint offsets are learned in this unit


@dataclass(frozen=True)
class Targets:
    """Labels of a batch, a fixed number of slots an image; `present` says which hold someone."""

    present: jax.Array  # [B, P] 0 or 1
    center_px: jax.Array  # [B, P, 2] middle of the visible box
    size_px: jax.Array  # [B, P, 2]
    range_m: jax.Array  # [B, P] along the camera's axis, to the body's own axis
    keypoints_px: jax.Array  # [B, P, K, 2]
    occlusion: jax.Array  # [B, P] hidden share
    ignored: jax.Array  # [B, P] too little to see: neither found nor missed
    mask: jax.Array  # [B, h, w] share of each cell that is a person


jax.tree_util.register_dataclass(Targets)


def _grid(height: int, width: int, stride: int) -> tuple[jax.Array, jax.Array]:
    ys = (jnp.arange(height) + 0.5) * stride
    xs = (jnp.arange(width) + 0.5) * stride
    return ys[:, None], xs[None, :]


def paint_heat(
    targets: Targets, height: int, width: int, stride: int
) -> tuple[jax.Array, jax.Array]:
    """A bump at every centre, and a weight that is 0 where a hardly visible person stands."""
    ys, xs = _grid(height, width, stride)
    cell = jnp.floor(targets.center_px / stride)
    middle = (cell + 0.5) * stride
    dx = xs[None, None] - middle[..., 0, None, None]
    dy = ys[None, None] - middle[..., 1, None, None]
    sigma_x = jnp.maximum(0.8 * stride, targets.size_px[..., 0] * 0.16)[..., None, None]
    sigma_y = jnp.maximum(0.8 * stride, targets.size_px[..., 1] * 0.16)[..., None, None]
    bump = jnp.exp(-0.5 * ((dx / sigma_x) ** 2 + (dy / sigma_y) ** 2))
    heat = (bump * targets.present[..., None, None]).max(axis=1)
    blind = (bump * targets.ignored[..., None, None]).max(axis=1) > 0.3
    return heat, 1.0 - blind.astype(jnp.float32)


def focal(logit: jax.Array, heat: jax.Array, weight: jax.Array) -> jax.Array:
    """CenterNet's penalty-reduced focal loss, per visible object."""
    log_p, log_q = jax.nn.log_sigmoid(logit), jax.nn.log_sigmoid(-logit)
    p = jax.nn.sigmoid(logit)
    positive = (heat > 0.99).astype(jnp.float32)
    found = positive * (1 - p) ** 2 * log_p
    quiet = (1 - positive) * (1 - heat) ** 4 * p**2 * log_q
    count = jnp.maximum(1.0, positive.sum())
    return -((found + quiet) * weight).sum() / count


def _at_centers(head: jax.Array, targets: Targets, stride: int) -> jax.Array:
    """Head values in the centre cells: [B, P, C]."""
    height, width = head.shape[1:3]
    cx = jnp.clip((targets.center_px[..., 0] // stride).astype(jnp.int32), 0, width - 1)
    cy = jnp.clip((targets.center_px[..., 1] // stride).astype(jnp.int32), 0, height - 1)
    return jax.vmap(lambda image, y, x: image[y, x])(head, cy, cx)


def _mean(value: jax.Array, present: jax.Array) -> jax.Array:
    return (value * present).sum() / jnp.maximum(1.0, present.sum())


def loss(
    net: Net, heads: dict[str, jax.Array], targets: Targets
) -> tuple[jax.Array, dict[str, jax.Array]]:
    stride, present = net.grid_stride, targets.present
    height, width = heads["heat"].shape[1:3]
    heat, weight = paint_heat(targets, height, width, stride)
    terms = {"heat": focal(heads["heat"][..., 0], heat, weight)}

    box = _at_centers(heads["box"], targets, stride)
    offset = targets.center_px / stride - jnp.floor(targets.center_px / stride) - 0.5
    terms["offset"] = _mean(jnp.abs(box[..., :2] - offset).sum(-1), present)
    size = jnp.log(jnp.maximum(targets.size_px, 1.0) / 16.0)
    terms["size"] = 0.5 * _mean(jnp.abs(box[..., 2:] - size).sum(-1), present)

    reach = _at_centers(heads["range"], targets, stride)
    log_b = jnp.clip(reach[..., 1], -4.0, 2.0)
    error = jnp.abs(reach[..., 0] + 2.0 - targets.range_m)
    terms["range"] = 0.5 * _mean(error * jnp.exp(-log_b) + log_b, present)

    if "pose" in heads:
        terms |= _full_terms(heads, targets, stride)
    return sum(terms.values(), jnp.zeros(())), terms


def _full_terms(heads: dict[str, jax.Array], targets: Targets, stride: int) -> dict[str, jax.Array]:
    present = targets.present
    pose = _at_centers(heads["pose"], targets, stride)
    pose = pose.reshape(*pose.shape[:2], len(KEYPOINTS), 2)
    want = (targets.keypoints_px - targets.center_px[:, :, None]) / POSE_UNIT_PX
    hidden = jax.nn.sigmoid(_at_centers(heads["occlusion"], targets, stride)[..., 0])
    mask = heads["mask"][..., 0]
    mask_loss = -(
        targets.mask * jax.nn.log_sigmoid(mask) + (1 - targets.mask) * jax.nn.log_sigmoid(-mask)
    ).mean()
    # The feature vector has to tell how many are there and how near the nearest is.
    summary = heads["features"][:, 0, 0, :2]
    count = present.sum(1)
    nearest = jnp.where(present > 0, targets.range_m, 6.0).min(1) - 3.0
    return {
        "pose": 0.3 * _mean(jnp.abs(pose - want).sum((-1, -2)), present),
        "occlusion": _mean(jnp.abs(hidden - targets.occlusion), present),
        "mask": 5.0 * mask_loss,
        "features": 0.1 * ((summary[:, 0] - count) ** 2 + (summary[:, 1] - nearest) ** 2).mean(),
    }
