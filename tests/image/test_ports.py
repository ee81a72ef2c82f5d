"""The firewall comes from the tables, and from nothing else."""

import re
from pathlib import Path

from image.ports import SYSTEM, Direction, Port, firewall, ports
from runtime.processes import LISTENERS

TEMPLATE = (Path(__file__).parents[2] / "image/files/nftables.conf.in").read_text()


def opened(text: str, chain: str) -> set[tuple[str, int]]:
    body = text.split(f"chain {chain} {{")[1].split("\n  }")[0]
    return {(kind, int(port)) for kind, port in re.findall(r"(tcp|udp) dport (\d+)", body)}


def test_rules_are_the_rows_no_more_no_less():
    text = firewall(TEMPLATE, ports())
    for chain, direction in (("input", Direction.IN), ("output", Direction.OUT)):
        rows = {(row.protocol, row.port) for row in ports() if row.direction is direction}
        assert opened(text, chain) == rows
    assert "@" not in text


def test_everything_else_is_dropped():
    text = firewall(TEMPLATE, ())
    assert text.count("policy drop;") == 3
    assert opened(text, "input") == set()


def test_new_row_opens_its_port_and_only_there():
    row = Port(direction=Direction.IN, protocol="tcp", port=9999, purpose="a new one")
    text = firewall(TEMPLATE, (*ports(), row))
    assert ("tcp", 9999) in opened(text, "input")
    assert ("tcp", 9999) not in opened(text, "output")


def test_ports_of_the_fleet_are_called_not_opened():
    rows = {row.port: row.direction for row in ports()}
    fleet = [row.port for row in LISTENERS if row.process in ("fleetd", "mosquitto")]
    assert fleet
    assert {rows[port] for port in fleet} == {Direction.OUT}


def test_port_of_a_development_machine_is_neither_called_nor_opened():
    others = {row.port for row in LISTENERS if row.process == "faultd"}
    assert others
    assert not others & {row.port for row in ports()}


def test_only_ssh_listens_for_people():
    assert [r.port for r in SYSTEM if r.direction is Direction.IN and r.protocol == "tcp"] == [22]
