"""Writes docs/cascade.md and its curves from evaluation.json and tuning.json: figures are read,
never typed. `python -m models.perception.report`."""

import json
from pathlib import Path
from typing import Any

from runtime.perception.inference import Card, read_card

HERE = Path(__file__).resolve().parent
DOCS = HERE.parents[1] / "docs"
ALWAYS, BARE, OURS = "always level 3", "level 3 at 5 Hz", "cascade"
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 400, 70, 60, 30, 20


class Plot:
    """One scatter of ways of looking, as SVG without any library."""

    def __init__(
        self, x: tuple[float, float], y: tuple[float, float], labels: tuple[str, str]
    ) -> None:
        self._x, self._y = x, y
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            'font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        ]
        self._axes(labels)

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self._x[0]) / (self._x[1] - self._x[0])
        up = (y - self._y[0]) / (self._y[1] - self._y[0])
        return (
            LEFT + across * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP),
        )

    def _axes(self, labels: tuple[str, str]) -> None:
        for step in range(6):
            x = self._x[0] + (self._x[1] - self._x[0]) * step / 5
            y = self._y[0] + (self._y[1] - self._y[0]) * step / 5
            px, _ = self.at(x, self._y[0])
            _, py = self.at(self._x[0], y)
            self._line(px, TOP, px, HEIGHT - BOTTOM, "#e5e5e5")
            self._line(LEFT, py, WIDTH - RIGHT, py, "#e5e5e5")
            self.text(px, HEIGHT - BOTTOM + 16, f"{x:g}", "middle")
            self.text(LEFT - 6, py + 4, f"{y:g}", "end")
        self.text((LEFT + WIDTH) / 2, HEIGHT - 16, labels[0], "middle")
        self._parts.append(
            f'<text transform="translate(16 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">'
            f"{labels[1]}</text>"
        )

    def _line(self, x1: float, y1: float, x2: float, y2: float, color: str, dash: str = "") -> None:
        self._parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"'
            f"{' stroke-dasharray=' + chr(34) + dash + chr(34) if dash else ''}/>"
        )

    def text(
        self, x: float, y: float, words: str, anchor: str = "start", color: str = "#222"
    ) -> None:
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{words}</text>'
        )

    def dot(self, x: float, y: float, words: str, color: str, radius: float = 4.0) -> None:
        px, py = self.at(min(max(x, self._x[0]), self._x[1]), min(max(y, self._y[0]), self._y[1]))
        self._parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{radius}" fill="{color}"/>')
        if words:
            self.text(px + 7, py - 5, words, color=color)

    def limit(self, x: float | None = None, y: float | None = None) -> None:
        """A line that the acceptance draws."""
        if x is not None:
            px, _ = self.at(x, self._y[0])
            self._line(px, TOP, px, HEIGHT - BOTTOM, "#c0392b", "4 3")
        if y is not None:
            _, py = self.at(self._x[0], y)
            self._line(LEFT, py, WIDTH - RIGHT, py, "#c0392b", "4 3")

    def write(self, path: Path) -> None:
        path.write_text("\n".join([*self._parts, "</svg>"]) + "\n", encoding="utf-8")


def _color(name: str) -> str:
    if name == OURS:
        return "#c0392b"
    if name in (ALWAYS, BARE):
        return "#1f5fa8"
    return "#888888"


def draw(result: dict[str, Any], folder: Path) -> None:
    """Recall and time to first report over compute, one dot for each way of looking."""
    ways = result["curve"]["ways"]
    shown = {name: way for name, way in ways.items() if not name.endswith("no carry")}
    recalls = [way["recall"]["value"] * 100 for way in shown.values()]
    low = max(0.0, min(recalls) // 2 * 2 - 1)
    recall = Plot((0, 40), (low, 100), ("compute, % of always level 3", "recall, %"))
    recall.limit(x=100 / 6, y=99 * ways[ALWAYS]["recall"]["value"])
    first = Plot((0, 40), (0, 400), ("compute, % of always level 3", "first report p95, ms"))
    first.limit(x=100 / 6, y=200)
    for name, way in shown.items():
        share = way["compute_share"]["value"] * 100
        label = name if name in (OURS, BARE) else f"{name} →" if name == ALWAYS else ""
        x = min(share, 36.0) if name == ALWAYS else share
        recall.dot(x, way["recall"]["value"] * 100, label, _color(name), 5 if label else 3)
        first.dot(x, way["first_ms_p95"], label, _color(name), 5 if label else 3)
    recall.write(folder / "cascade-recall.svg")
    first.write(folder / "cascade-first.svg")


def _ms(value: float) -> str:
    return "never" if value == float("inf") else f"{value:.0f}"


def _interval(value: dict[str, float], scale: float, digits: int) -> str:
    v, low, high = (value[key] * scale for key in ("value", "low", "high"))
    return f"{v:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def ways_table(result: dict[str, Any]) -> list[str]:
    """Each way of looking with its figures: of the whole result, or of its curve."""
    lines = [
        "| way of looking | recall, % | against always level 3, % | false reports a picture "
        "| compute, % | first report mean / p95, ms | never | level 3, Hz |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, way in result["ways"].items():
        lines.append(
            f"| {name} | {_interval(way['recall'], 100, 2)} "
            f"| {_interval(result['ratios'][name], 100, 2)} "
            f"| {_interval(way['false_a_frame'], 1, 4)} "
            f"| {_interval(way['compute_share'], 100, 1)} "
            f"| {_ms(way['first_ms_mean'])} / {_first(way)} "
            f"| {way['never_ratio'] * 100:.1f} % | {way['full_looks_hz']:.2f} |"
        )
    return lines


def _first(way: dict[str, Any]) -> str:
    low, high = way["first_p95_between_ms"]
    return f"{_ms(way['first_ms_p95'])} [{_ms(low)}, {_ms(high)}]"


def _mark(*, reached: bool) -> str:
    return "reached" if reached else "**not reached**"


def verdict_table(result: dict[str, Any]) -> list[str]:
    v, ways = result["verdict"], result["ways"]
    ours, always, bare = ways[OURS], ways[ALWAYS], ways[BARE]
    return [
        "| point | asked | measured | |",
        "|---|---|---|---|",
        f"| a | recall ≥ 99 % of always level 3 with the same carry-forward "
        f"| {_interval(v['a_recall_ratio'], 100, 2)} % | {_mark(reached=v['a_recall_ok'])} |",
        "| a | false reports a picture no higher "
        f"| {_interval(ours['false_a_frame'], 1, 4)} against "
        f"{_interval(always['false_a_frame'], 1, 4)}; difference "
        f"{_interval(v['a_false_reports_more'], 1, 4)} "
        f"| {_mark(reached=v['a_false_reports_ok'])} |",
        f"| b | first report p95 ≤ 200 ms, better than level 3 at 5 Hz "
        f"| {_first(ours)} ms against {_first(bare)} ms "
        f"(always level 3: {_first(always)}) | {_mark(reached=v['b_first_ok'])} |",
        f"| b | compute below 16.7 % | {_interval(ours['compute_share'], 100, 1)} % "
        f"| {_mark(reached=v['b_compute_ok'])} |",
        f"| c | level 3 itself finds ≥ 95 % | {_interval(v['c_level3_recall'], 100, 2)} % "
        f"| {_mark(reached=v['c_level3_recall_ok'])} |",
        f"| c | and costs ≥ 10 times level 1 | {v['c_level3_over_level1']:.1f} times "
        f"| {_mark(reached=v['c_cost_ok'])} |",
        f"| d | longest time between full looks | {v['d_longest_gap_ms'] / 1000:.2f} s in 4.5 s "
        f"walks; {result['idle']['longest_gap_ms'] / 1000:.2f} s "
        f"in {result['idle']['seconds']:.0f} s of an empty cell at rest | stated |",
    ]


def network_table(cards: list[Card]) -> list[str]:
    lines = [
        "| network | models (MFLOP each) | parameters | MFLOP + preparation | file, kB |",
        "|---|---|---|---|---|",
    ]
    for card in cards:
        models = ", ".join(f"{name} {share.mflop:.2f}" for name, share in card.models.items())
        size = (HERE / card.file).stat().st_size / 1000
        lines.append(
            f"| {card.name} | {models} | {card.parameters:,} "
            f"| {card.mflop:.2f} + {card.preparation_mflop:.2f} | {size:.0f} |"
        )
    return lines


def quality_table(cards: list[Card]) -> list[str]:
    lines = ["| network | on rendered pictures that training did not see |", "|---|---|"]
    for card in cards:
        facts = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in card.quality.items())
        lines.append(f"| {card.name} | {facts} |")
    return lines


def main() -> None:
    result = json.loads((HERE / "evaluation.json").read_text())
    tuning = json.loads((HERE / "tuning.json").read_text())
    cards = [read_card(HERE / f"{name}.yaml") for name in ("level1", "level2", "level3", "parts")]
    draw(result, DOCS)
    text = (HERE / "cascade.md.in").read_text(encoding="utf-8")
    chosen = [f"| `{name}` | {value} |" for name, value in tuning["chosen"].items()]
    values = {
        "WALKS": f"{result['walks']:,}",
        "PICTURES": f"{result['pictures']:,}",
        "WANTED": f"{result['wanted']:,}",
        "PRESENT": f"{result['ways'][OURS]['present_ratio'] * 100:.1f}",
        "TUNING_WALKS": str(tuning["walks"]),
        "CUE": f"{result['mflop']['cue']:.3f}",
        "VERDICT": "\n".join(verdict_table(result)),
        "WAYS": "\n".join(ways_table(result)),
        "CURVE_WALKS": str(result["curve"]["walks"]),
        "CURVE": "\n".join(ways_table(result["curve"])),
        "NETWORKS": "\n".join(network_table(cards)),
        "QUALITY": "\n".join(quality_table(cards)),
        "CHOSEN": "\n".join(["| setting | value |", "|---|---|", *chosen]),
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    (DOCS / "cascade.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
