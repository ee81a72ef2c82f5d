"""`python -m fleet.bench`: the figures as JSON, and into docs/scale.md with --page."""

import argparse
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from conf.schema.telemetry import Store
from fleet.bench.alone import ingest_cost
from fleet.bench.disk import disk_of
from fleet.bench.live import live
from fleet.bench.page import write_page
from fleet.bench.peer import pair
from fleet.bench.servers import load_average
from fleet.bench.storm import storm
from fleet.bench.told import AS_A_ROBOT
from fleet.influxd import InfluxdError, ensure_binary
from fleet.page.bench import measure

PARTS = ("paint", "alone", "peer", "disk", "live", "storm")


def main() -> None:
    args = _arguments()
    figures: dict[str, Any] = {"cpus": os.cpu_count(), "load_average": load_average()}
    stores = [Store(name) for name in args.store]
    if "paint" in args.only:
        figures["paint"] = measure(args.paint_robots, args.paint_times)
    if "alone" in args.only:
        figures["alone"] = [asdict(ingest_cost(50, 20, samples)) for samples in args.samples]
    if "peer" in args.only:
        figures["peer"] = [
            asdict(pair(args.peer_robots, args.peer_seconds, samples))
            for samples in (*args.samples, AS_A_ROBOT)
            for _ in range(args.peer_times)
        ]
    if "disk" in args.only:
        figures["disk"] = [
            asdict(disk_of(robots, samples, args.disk_robot_seconds, kind))
            for kind in _stores_there()
            for robots in args.robots
            for samples in (*args.samples, AS_A_ROBOT)
        ]
    if "live" in args.only:
        figures["live"] = [
            asdict(live(robots, samples, args.seconds, store))
            for store in stores
            for robots in args.robots
            for samples in args.samples
        ]
    if "storm" in args.only:
        figures["storm"] = asdict(
            storm(args.storm_robots, args.storm_s, args.storm_live, args.storm_limit_s, stores[0])
        )
    text = orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode() + "\n"
    sys.stdout.write(text)
    if args.out is not None:
        args.out.write_text(text)
    if args.page is not None:
        write_page(args.page, figures)


def _stores_there() -> list[Store]:
    """Without InfluxDB where there is none: the rest is worth measuring all the same."""
    try:
        ensure_binary()
    except InfluxdError as error:
        sys.stderr.write(f"bench-fleet: no disk of InfluxDB: {error}\n")
        return [Store.EMBEDDED]
    return list(Store)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench-fleet")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--paint-robots", type=int, default=1000)
    parser.add_argument("--paint-times", type=int, default=15)
    parser.add_argument("--robots", type=int, nargs="*", default=[10, 100])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--samples", type=int, nargs="*", default=[1, 10], help="in each second")
    parser.add_argument(
        "--store",
        nargs="+",
        choices=[store.value for store in Store],
        default=["embedded"],
        help="for live; the storm takes the first",
    )
    parser.add_argument("--peer-robots", type=int, default=100)
    parser.add_argument("--peer-seconds", type=int, default=30)
    parser.add_argument("--peer-times", type=int, default=1, help="runs of each kind")
    parser.add_argument("--disk-robot-seconds", type=int, default=12_000, help="of all robots")
    parser.add_argument("--storm-robots", type=int, default=100)
    parser.add_argument("--storm-s", type=float, default=360.0, help="how long they were away")
    parser.add_argument("--storm-live", type=int, default=20)
    parser.add_argument("--storm-limit-s", type=float, default=600.0)
    parser.add_argument("--out", type=Path, help="the JSON, beside standard output")
    parser.add_argument("--page", type=Path, help="a page whose tables are written anew")
    return parser.parse_args()


if __name__ == "__main__":
    main()
