"""Samples as the four figures that every latency here is told in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Figures = dict[str, float | int]


def spread_of(samples_ns: Sequence[int]) -> Figures:
    if not samples_ns:
        return {"count": 0}
    values = np.asarray(samples_ns, dtype=np.float64) / 1e6
    p50, p95, p99, p999 = np.percentile(values, [50, 95, 99, 99.9])
    named = {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "p999_ms": p999, "max_ms": values.max()}
    return {"count": len(samples_ns)} | {name: round(float(v), 3) for name, v in named.items()}
