"""Batches of labelled pictures, with light, noise and mirror drawn anew."""

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from models.perception.losses import Targets
from models.perception.pictures import HARDLY_VISIBLE_PX, Pictures, ray_height


def targets_of(pictures: Pictures, index: np.ndarray) -> Targets:
    pixels = pictures.pixels[index]
    box = pictures.box_px[index].astype(np.float32)
    center = np.stack([box[..., 0] + box[..., 2], box[..., 1] + box[..., 3]], -1) / 2
    size = np.stack([box[..., 2] - box[..., 0], box[..., 3] - box[..., 1]], -1)
    present = pixels >= HARDLY_VISIBLE_PX if pictures.mask.any() else pixels > 24
    return Targets(
        present=present.astype(np.float32),
        center_px=center,
        size_px=size,
        range_m=pictures.range_m[index].astype(np.float32),
        keypoints_px=pictures.keypoints_px[index].astype(np.float32),
        occlusion=pictures.occlusion[index].astype(np.float32),
        ignored=((pixels > 0) & ~present).astype(np.float32),
        mask=pictures.mask[index].astype(np.float32) / 16.0,
    )


@dataclass(frozen=True)
class Batch:
    rgb: jax.Array
    depth_m: jax.Array
    ray_height: jax.Array
    camera_height_m: jax.Array
    targets: Targets


jax.tree_util.register_dataclass(Batch)


def batch_of(pictures: Pictures, index: np.ndarray) -> Batch:
    height, width = pictures.rgb.shape[1:3]
    return Batch(
        rgb=pictures.rgb[index].astype(np.float32),
        depth_m=pictures.depth_mm[index].astype(np.float32) * 1e-3,
        ray_height=ray_height(pictures.up_row[index], height, width),
        camera_height_m=pictures.camera_height_m[index].astype(np.float32),
        targets=targets_of(pictures, index),
    )


def batches(pictures: Pictures, size: int, steps: int, seed: int) -> Iterator[Batch]:
    """Epoch after epoch in a new order, for a number of steps."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pictures))
    at = 0
    for _ in range(steps):
        if at + size > len(order):
            order, at = rng.permutation(len(pictures)), 0
        yield batch_of(pictures, np.sort(order[at : at + size]))
        at += size


def vary(key: jax.Array, batch: Batch) -> Batch:
    """Light, sensor noise, missing depth and mirror images: what one rendering does not hold."""
    keys = jax.random.split(key, 9)
    count, height, width = batch.rgb.shape[:3]
    gain = jnp.exp(0.25 * jax.random.normal(keys[0], (count, 1, 1, 3)))
    gain *= jnp.exp(0.2 * jax.random.normal(keys[1], (count, 1, 1, 1)))
    shift = 12.0 * jax.random.normal(keys[2], (count, 1, 1, 1))
    noise = 5.0 * jax.random.normal(keys[3], batch.rgb.shape)
    rgb = jnp.clip(_repaint(keys[8], batch.rgb) * gain + shift + noise, 0.0, 255.0)
    depth = batch.depth_m
    depth += depth**2 * 0.002 * jax.random.normal(keys[4], depth.shape)
    coarse = jax.random.uniform(keys[5], (count, height // 8, width // 8))
    holes = jnp.repeat(jnp.repeat(coarse < 0.004, 8, axis=1), 8, axis=2)
    speck = jax.random.uniform(keys[6], depth.shape) < 0.004
    depth = jnp.where(holes | speck | (batch.depth_m <= 0.0), 0.0, depth)
    flip = jax.random.bernoulli(keys[7], 0.5, (count,))
    return _mirror(
        Batch(rgb, depth, batch.ray_height, batch.camera_height_m, batch.targets), flip, width
    )


def _repaint(key: jax.Array, rgb: jax.Array) -> jax.Array:
    """Every third picture with its colours swapped round: clothes come in all colours."""
    turns = jax.random.randint(key, (len(rgb),), 0, 9).reshape(-1, 1, 1, 1)
    rgb = jnp.where(turns == 1, jnp.roll(rgb, 1, axis=-1), rgb)
    rgb = jnp.where(turns == 2, jnp.roll(rgb, 2, axis=-1), rgb)
    return jnp.where(turns == 3, jnp.flip(rgb, axis=-1), rgb)


def _mirror(batch: Batch, flip: jax.Array, width: int) -> Batch:
    def images(x: jax.Array) -> jax.Array:
        return jnp.where(flip.reshape(-1, *[1] * (x.ndim - 1)), jnp.flip(x, axis=2), x)

    def points(x: jax.Array) -> jax.Array:
        mirrored = x.at[..., 0].set(width - x[..., 0])
        return jnp.where(flip.reshape(-1, *[1] * (x.ndim - 1)), mirrored, x)

    t = batch.targets
    targets = Targets(
        t.present,
        points(t.center_px),
        t.size_px,
        t.range_m,
        points(t.keypoints_px),
        t.occlusion,
        t.ignored,
        images(t.mask[..., None])[..., 0],
    )
    return Batch(
        images(batch.rgb),
        images(batch.depth_m[..., None])[..., 0],
        images(batch.ray_height[..., None])[..., 0],
        batch.camera_height_m,
        targets,
    )
