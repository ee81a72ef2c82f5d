"""What the simulated robots are, and what is planted among them."""

from dataclasses import dataclass, field

TASKS = (("grasp", 0.94), ("push", 0.91), ("insert", 0.90), ("place", 0.93))
SITES = ("osaka", "gdansk")
NEVER_NS = 2**62


@dataclass(frozen=True)
class Bad:
    """A version that is worse at one kind of task, and which robots got it when."""

    version: str
    task: str
    success: float
    first: int = 21
    last: int = 40
    since_ns: int = NEVER_NS  # when those robots were updated

    def has(self, number: int, at_ns: int) -> bool:
        return self.first <= number <= self.last and at_ns >= self.since_ns


@dataclass(frozen=True)
class Plan:
    """The same plan and seed make the same records, to the byte but for their epoch."""

    robots: int = 100
    first: int = 1  # the number of the first: two crowds may stand side by side
    seed: int = 1
    version: str = "v23"
    sites: tuple[str, ...] = SITES
    task_period_s: float = 30.0
    metric_period_s: float = 1.0
    samples: int = 1  # of each metric in that time
    traces_ratio: float = 0.1  # of tasks, those whose journey is told
    reason: str = "gripper_slip"  # why tasks of the bad version fail
    bad: Bad | None = None
    tasks: tuple[tuple[str, float], ...] = field(default=TASKS)

    @property
    def numbers(self) -> range:
        return range(self.first, self.first + self.robots)

    def name(self, number: int) -> str:
        return f"robot-{number:03d}"

    def site(self, number: int) -> str:
        return self.sites[number % len(self.sites)]

    def version_of(self, number: int, at_ns: int) -> str:
        bad = self.bad
        return bad.version if bad is not None and bad.has(number, at_ns) else self.version

    def success(self, number: int, at_ns: int, task: str) -> float:
        bad = self.bad
        if bad is not None and task == bad.task and bad.has(number, at_ns):
            return bad.success
        return dict(self.tasks)[task]
