"""The shipped networks, one function each.

Level 1 reads every second pixel and keeps a coarse grid: it must cost next to nothing at 30 Hz.
Level 2 works at full resolution with a thin trunk. Level 3 has the same heads on a trunk that
stays wide at a quarter of the resolution, which is where its compute goes. `parts` looks down
into the bin, where millimetres count, so its grid is fine.
"""

from models.perception.graph import (
    Net,
    Op,
    Row,
    conv,
    head,
    residual,
    separable,
    separable_residual,
)

KEYPOINTS = ("head", "chest", "pelvis", "feet")


def level1() -> Net:
    rows = (
        conv("stem", "in", 12, stride=2),
        conv("down", "stem", 32, stride=2),
        *separable("widen", "down", 56),
        *separable_residual("mix1", "widen_pw", 56),
        *separable_residual("mix2", "mix1", 56),
        *separable_residual("mix3", "mix2", 56),
        head("heat", "mix3", 1, "detector"),
        head("box", "mix3", 4, "detector"),
        head("range", "mix3", 2, "depth"),
    )
    return Net("level1", 1, 2, rows, {n: n for n in ("heat", "box", "range")}, 8, ("person",))


def _full_heads(src: str, trunk: str, prefix: str) -> tuple[Row, ...]:
    return (
        head("heat", src, 1, f"{prefix}pose"),
        head("box", src, 4, f"{prefix}pose"),
        head("range", src, 2, f"{prefix}pose"),
        head("pose", src, 2 * len(KEYPOINTS), f"{prefix}pose"),
        head("occlusion", src, 1, f"{prefix}pose"),
        head("mask", src, 1, f"{prefix}segmentation"),
        Row("pooled", Op.POOL, (trunk,), 0, model=f"{prefix}features"),
        head("features", "pooled", 32, f"{prefix}features"),
    )


_FULL_HEADS = {n: n for n in ("heat", "box", "range", "pose", "occlusion", "mask", "features")}


def level2() -> Net:
    rows = (
        conv("stem", "in", 12, stride=2, model="features"),
        conv("quarter", "stem", 24, stride=2, model="features"),
        conv("eighth", "quarter", 40, stride=2, model="features"),
        *residual("deep", "eighth", 40, model="features"),
        Row("lateral", Op.CONV, ("quarter",), 32, model="segmentation"),
        Row("narrow", Op.CONV, ("deep",), 32, model="segmentation"),
        Row("up", Op.UPSAMPLE, ("narrow",), 0, model="segmentation"),
        Row("sum", Op.ADD, ("lateral", "up"), 32, model="segmentation"),
        *separable("merge", "sum", 32, model="segmentation"),
        *separable("refine", "merge_pw", 32, model="pose"),
        *_full_heads("refine_pw", "deep", ""),
    )
    return Net("level2", 2, 1, rows, _FULL_HEADS, 4, ("person",))


def level3() -> Net:
    rows = (
        conv("stem", "in", 24, stride=2, model="large_features"),
        conv("quarter", "stem", 48, stride=2, model="large_features"),
        *residual("quarter2", "quarter", 48, model="large_features"),
        conv("eighth", "quarter2", 96, stride=2, model="large_features"),
        *residual("eighth2", "eighth", 96, model="large_features"),
        *residual("deep", "eighth2", 96, model="large_features"),
        Row("narrow", Op.CONV, ("deep",), 48, model="large_segmentation"),
        Row("up", Op.UPSAMPLE, ("narrow",), 0, model="large_segmentation"),
        Row("sum", Op.ADD, ("quarter2", "up"), 48, model="large_segmentation"),
        conv("merge", "sum", 48, model="large_segmentation"),
        *separable("refine", "merge", 48, model="large_pose"),
        *_full_heads("refine_pw", "deep", "large_"),
    )
    return Net("level3", 3, 1, rows, _FULL_HEADS, 4, ("person",))


def parts() -> Net:
    rows = (
        conv("stem", "in", 12, stride=2, model="parts"),
        conv("quarter", "stem", 32, stride=2, model="parts"),
        *separable("mix1", "quarter", 32, model="parts"),
        *separable("mix2", "mix1_pw", 32, model="parts"),
        conv("mix3", "mix2_pw", 32, model="parts"),
        head("heat", "mix3", 1, "parts"),
        head("box", "mix3", 4, "parts"),
        head("range", "mix3", 2, "parts"),
    )
    heads = {n: n for n in ("heat", "box", "range")}
    # Parts are 2 to 6 cm high: over the table, in steps of centimetres.
    return Net("parts", 1, 1, rows, heads, 4, ("part",), (-0.02, 0.16), 0.05, 15.0)


NETS = {net.name: net for net in (level1(), level2(), level3(), parts())}
