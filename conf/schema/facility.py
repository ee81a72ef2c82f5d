"""What a site adds: where the robot may move, who walks there, what network it has."""

from conf.schema.base import Key, Meters, Model, Safe, SafetyModel, Table, setting

Corner = tuple[Meters, Meters, Meters]


class WorkspaceBox(SafetyModel):
    """Box the tool must stay in, base frame. An overlay may only shrink it."""

    min_m: Corner = setting(
        "lower corner",
        safe=Safe.HIGHER,
        because="the tool may reach every point of this box at any time",
    )
    max_m: Corner = setting(
        "upper corner",
        safe=Safe.LOWER,
        because="the tool may reach every point of this box at any time",
    )


class KeepOutBox(SafetyModel):
    """Box no part of the arm may enter, base frame. An overlay may only let it grow."""

    min_m: Corner = setting(
        "lower corner", safe=Safe.LOWER, because="the arm may move wherever no box forbids it"
    )
    max_m: Corner = setting(
        "upper corner", safe=Safe.HIGHER, because="the arm may move wherever no box forbids it"
    )


class People(SafetyModel):
    """Speed and separation: how near the arm may move at which speed."""

    human_speed_m_s: float = setting(
        "speed at which a person is assumed to approach",
        safe=Safe.HIGHER,
        ge=0.5,
        le=5.0,
        because="a person faster than assumed reaches the arm before it has stopped",
        suggest=1.6,
    )
    reaction_s: float = setting(
        "time between a picture and the arm's first reaction",
        safe=Safe.HIGHER,
        ge=0.01,
        le=2.0,
        because="the distance walked in this time is kept free",
        suggest=0.1,
    )
    intrusion_m: float = setting(
        "how far a hand reaches beyond where a person is seen", safe=Safe.HIGHER, ge=0.0, le=2.0
    )
    uncertainty_m: float = setting(
        "error of a person's measured position", safe=Safe.HIGHER, ge=0.0, le=1.0
    )
    stale_ms: int = setting(
        "age at which a perception result counts as unknown",
        safe=Safe.LOWER,
        ge=50,
        le=2000,
        because="the robot moves on what it saw this long ago",
        suggest=300,
    )
    slow_ratio_unknown: float = setting(
        "share of full speed while nobody can say where people are",
        safe=Safe.LOWER,
        ge=0.0,
        le=0.5,
        because="a robot that does not see must be slow enough to be stopped by a touch",
        suggest=0.25,
    )
    max_ratio_distance_m: float = setting(
        "distance of the nearest person from which full speed is allowed",
        safe=Safe.HIGHER,
        ge=0.5,
        le=10.0,
        suggest=3.0,
    )


class Network(Model):
    uplink_kbps: float = setting("what telemetry may use of the uplink", gt=0, le=10_000_000)
    latency_ms: float = setting("usual round trip to the fleet", default=20.0, ge=0, le=10_000)
    outage_h: float = setting(
        "longest time without network the spool must cover",
        default=1.0,
        ge=0,
        le=720,
        because="what does not fit the spool is thinned or lost before the network is back",
    )


class Facility(Model):
    name: Key = setting("name of the facility, as its file")
    site: Key = setting("site in topics and tags")
    title: str = setting("the facility for people", max_length=80)
    workspace: WorkspaceBox = setting("where the tool may be")
    keep_out: Table[Key, KeepOutBox] = setting("where no part of the arm may be")
    people: People = setting("separation from people")
    people_expected: int = setting("people usually in the cell at once", ge=0, le=8)
    floor_z_m: Meters = setting("height of the floor below the robot's base frame")
    walkway_min_m: tuple[Meters, Meters] = setting("floor area where people walk, lower corner")
    walkway_max_m: tuple[Meters, Meters] = setting("floor area where people walk, upper corner")
    network: Network = setting("the uplink")
    auto_arm: bool = setting("arm by itself after a healthy start", safe=Safe.LOWER)
    auto_duty: Key | None = setting(
        "skill the robot works on while no task waits; null: it waits", default=None
    )
