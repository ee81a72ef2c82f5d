"""Trains one network: `nice -n 19 python -m models.perception.train level1 --steps 2000`."""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
import optax

from models.perception import network
from models.perception.data import Batch, batch_of, batches, vary
from models.perception.graph import Net
from models.perception.losses import loss
from models.perception.pictures import Pictures
from models.perception.render import dataset
from models.perception.weights import load_weights, save_weights
from models.perception.zoo import NETS

PEAK_RATE = 3e-3
FURTHER_RATE = 1.5e-3  # from given weights on
CALIBRATION = 64  # pictures that tell given weights' statistics
DECAY = 1e-4


@partial(jax.jit, static_argnames=("net",))
def _inputs(net, batch: Batch, key):  # type: ignore[no-untyped-def]
    """Varied pictures, prepared. Apart from the step: fused into it, XLA draws the noise anew for
    every use and a step takes ten times as long."""
    batch = vary(key, batch)
    x = network.prepare(net, batch.rgb, batch.depth_m, batch.ray_height, batch.camera_height_m)
    return x, batch.targets


@partial(jax.jit, static_argnames=("net", "optimiser"), donate_argnums=(2, 3, 4))
def _step(net, optimiser, params, stats, state, x, targets):  # type: ignore[no-untyped-def]
    def objective(params):  # type: ignore[no-untyped-def]
        heads, moments = network.forward(net, params, stats, x, train=True)
        total, terms = loss(net, heads, targets)
        return total, (terms, network.follow(stats, moments))

    (total, (terms, updated)), gradient = jax.value_and_grad(objective, has_aux=True)(params)
    updates, state = optimiser.update(gradient, state, params)
    return optax.apply_updates(params, updates), updated, state, total, terms


@partial(jax.jit, static_argnames=("net",))
def _judge(net, params, stats, batch: Batch):  # type: ignore[no-untyped-def]
    x = network.prepare(net, batch.rgb, batch.depth_m, batch.ray_height, batch.camera_height_m)
    heads, _ = network.forward(net, params, stats, x, train=False)
    return loss(net, heads, batch.targets)


def validation_loss(net: Net, params, stats, pictures: Pictures) -> float:  # type: ignore[no-untyped-def]
    totals = [
        float(_judge(net, params, stats, batch_of(pictures, np.arange(at, at + 50)))[0])
        for at in range(0, len(pictures) - 49, 50)
    ]
    return float(np.mean(totals))


def train(
    net: Net, pictures: Pictures, held: Pictures, steps: int, size: int, seed: int, start=None
):  # type: ignore[no-untyped-def]
    """Folded weights, and what the training reached. From given weights it trains on gently."""
    if start is None:
        params, stats = network.initialise(net, seed)
    else:
        some = batch_of(pictures, np.arange(0, len(pictures), len(pictures) // CALIBRATION))
        params, stats = network.unfold(net, start, _inputs(net, some, jax.random.PRNGKey(seed))[0])
    peak = PEAK_RATE if start is None else FURTHER_RATE
    rate = optax.cosine_onecycle_schedule(steps, peak, 0.15, 20.0, 200.0)
    optimiser = optax.chain(optax.clip_by_global_norm(5.0), optax.adamw(rate, weight_decay=DECAY))
    state = optimiser.init(params)
    key = jax.random.PRNGKey(seed)
    began = time.monotonic()
    for index, batch in enumerate(batches(pictures, size, steps, seed)):
        key, now = jax.random.split(key)
        params, stats, state, total, terms = _step(
            net, optimiser, params, stats, state, *_inputs(net, batch, now)
        )
        if index % 100 == 0 or index == steps - 1:
            text = " ".join(f"{name} {float(value):.3f}" for name, value in terms.items())
            elapsed = time.monotonic() - began
            print(
                f"{net.name} {index}/{steps} {elapsed:.0f} s loss {float(total):.3f} {text}",
                flush=True,
            )
    reached = {
        "steps": steps,
        "batch": size,
        "seed": seed,
        "pictures": len(pictures),
        "wall_s": round(time.monotonic() - began),
        "validation_loss": round(validation_loss(net, params, stats, held), 4),
    }
    return network.fold(net, params, stats), reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("net", choices=sorted(NETS))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--start", type=Path, help="weights to train on from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    net = NETS[args.net]
    camera = "bin" if net.name == "parts" else "cell"
    pictures = dataset(args.data, camera, "train")
    held = dataset(args.data, camera, "validation")
    start = None if args.start is None else load_weights(args.start)
    folded, reached = train(net, pictures, held, args.steps, args.batch, args.seed, start)
    if args.start is not None:
        before = json.loads(args.start.with_suffix(".json").read_text())
        reached |= {f"earlier_{name}": before[name] for name in ("steps", "pictures", "wall_s")}
    args.out.mkdir(parents=True, exist_ok=True)
    save_weights(args.out / f"{net.name}.npz", folded)
    (args.out / f"{net.name}.json").write_text(json.dumps(reached, indent=1) + "\n")
    print(json.dumps(reached))


if __name__ == "__main__":
    main()
