"""The protocol, explored to the end: every interleaving of updates, cuts, kills and damage.

A world is the disk, what has been written and not yet flushed, who is at work with which steps
left, and what must be true of it. From each world every event is tried, until there is nothing new.
The steps are those of the real thing: `orders` and `asked` are what the tool runs, `boot` is what
GRUB's script is compared with.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum

from ota.boot_env import decision
from ota.boot_env.decision import Choice, Content
from ota.boot_env.request import Machine, Refused, asked, not_ready, restored
from ota.boot_env.states import SLOT_A, SLOT_B, Bad, Copy, State, Write, agreed, orders


class Slot(Enum):
    """What lies in a slot."""

    WHOLE = Content(loads=True, intact=True)
    PART = Content(loads=True, intact=False)  # half written; what GRUB reads of it may still be old
    DEAD = Content(loads=False, intact=True)  # as it was made, and made wrong


class Flush(Enum):
    """Everything written so far is on the disk."""

    FLUSH = "flush"


@dataclass(frozen=True)
class Fill:
    """A slot's content, complete; until it is flushed, any part of it may be missing."""

    slot: int
    content: Slot


@dataclass(frozen=True)
class Spoil:
    """The first block of a new content is written."""

    slot: int


@dataclass(frozen=True)
class Set:
    """The tool is called; what it writes depends on what it finds."""

    wanted: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Start:
    """The kernel starts."""

    choice: Choice
    slot: int | None


Step = Write | Flush | Fill | Spoil | Set | Start
Copies = tuple[Copy, Copy]
Slots = tuple[Slot, Slot]


@dataclass(frozen=True)
class World:
    copies: Copies = (State(), State())  # on the disk
    slots: Slots = (Slot.WHOLE, Slot.PART)
    cache: tuple[Write | Fill, ...] = ()  # written, not flushed
    steps: tuple[Step, ...] = ()  # what the one at work has still to do
    running: int | None = None
    choice: Choice = Choice.HALT
    standing: frozenset[int] = frozenset({SLOT_A})  # that may boot as committed
    trials: int = 0  # starts of what was installed last
    # One more kind of fault than cuts and kills may happen to a world, not both of these:
    damaged: bool = False  # a copy was ruined by something else than a cut
    reset: bool = False  # the machine started anew while the disk kept its power, and its cache

    @property
    def seen(self) -> Copies:
        """The copies as a reader finds them now."""
        first, second = self.copies
        for item in self.cache:
            if isinstance(item, Write):
                first, second = (item.state, second) if item.copy == 1 else (first, item.state)
        return first, second

    def machine(self, gate: str) -> Machine:
        return Machine(self.running, self.choice.value, gate)


class Law(StrEnum):
    """What must hold, whatever happens."""

    WHOLE = "a slot that starts is whole"
    DECIDED = "something starts: nothing ends in a halt while a good slot exists"
    KEPT = "one cut never costs both copies"
    ONCE = "a slot on trial is started once, or again if the note of it was lost"
    PASSED = "a slot boots as committed only if it has passed"
    UNNAMED = "a slot is not written while a copy says that it may boot"


class Broken(AssertionError):
    """A law and the way to break it."""

    def __init__(self, law: Law, path: list[str]):
        self.law = law
        self.path = path
        super().__init__(f"{law.value}:\n  " + "\n  ".join(path))


BootSteps = Callable[[Copies, Slots], tuple[Step, ...]]
SetSteps = Callable[[Copies, State], tuple[Step, ...]]
INSTALL = (("upgrade_available", "1"), ("bootcount", "0"))
COMMIT = (("upgrade_available", "0"),)


def boot_steps(copies: Copies, slots: Slots) -> tuple[Step, ...]:
    contents = {SLOT_A: slots[0].value, SLOT_B: slots[1].value}
    disk = decision.Disk(*copies, contents)
    started = decision.boot(disk)
    return (*disk.writes, Start(started.choice, started.slot))  # GRUB cannot flush


def flushed(writes: list[Write] | tuple[Write, ...]) -> tuple[Step, ...]:
    return tuple(step for one in writes for step in (one, Flush.FLUSH))


def set_steps(copies: Copies, wanted: State) -> tuple[Step, ...]:
    """A flush first: a tool that was killed before may have left a write on its way."""
    return (Flush.FLUSH, *flushed(orders(*copies, wanted)))


def install_steps(slot: int, content: Slot) -> tuple[Step, ...]:
    """`ready` comes first, and flushes too: what it read must be what a cut would leave."""
    part = (("mender_boot_part", str(slot)),)
    return (Flush.FLUSH, Spoil(slot), Fill(slot, content), Flush.FLUSH, Set(part + INSTALL))


@dataclass(frozen=True)
class Protocol:
    """The parts that a test replaces to see the model find the fault."""

    boot: BootSteps = boot_steps
    set: SetSteps = set_steps
    install: Callable[[int, Slot], tuple[Step, ...]] = install_steps
    repairs: bool = True  # every call of the tool first makes the copies one


@dataclass
class Explored:
    worlds: int = 0
    events: int = 0
    boots: set[tuple[Copies, Slots]] = field(default_factory=set)  # what GRUB may find


Event = tuple[str, World]


def explore(protocol: Protocol, first: World | None = None, limit: int = 2_000_000) -> Explored:
    """All worlds that can be reached; raises `Broken` with the way there."""
    start = first or World()
    came: dict[World, tuple[World | None, str]] = {start: (None, "a new robot")}
    todo = deque([start])
    found = Explored()
    while todo:
        world = todo.popleft()
        if world.running is None and not world.steps:
            found.boots.add((world.copies, world.slots))
        for name, after in _events(world, protocol):
            found.events += 1
            law = broken_by(world, after)
            if law is not None:
                raise Broken(law, [*_path(came, world), name])
            if after not in came:
                came[after] = (world, name)
                todo.append(after)
        if len(came) > limit:
            raise RuntimeError(f"more than {limit} worlds: the model does not end")
    found.worlds = len(came)
    return found


def _path(came: dict[World, tuple[World | None, str]], world: World | None) -> list[str]:
    names: list[str] = []
    while world is not None:
        world, name = came[world]
        names.append(name)
    return names[::-1]


def _events(world: World, protocol: Protocol) -> Iterator[Event]:
    if world.running is None and not world.steps:
        yield "power on", _power_on(world, protocol)
    if world.running is not None or world.steps or world.cache:
        yield from _cuts(world)
        if not world.damaged:
            off = replace(world, steps=(), running=None, choice=Choice.HALT, reset=True)
            yield "reset; the disk keeps its power", off
    if world.steps:
        yield _do(world, protocol)
        if world.running is not None:
            yield "the program is killed", replace(world, steps=())
    elif world.running is not None:
        yield from _wishes(world, protocol)
    if not world.damaged and not world.reset:
        for copy in (1, 2):
            yield f"copy {copy} is damaged", _damaged(world, copy)


def _power_on(world: World, protocol: Protocol) -> World:
    steps = protocol.boot(world.seen, world.slots)
    # With the environment or the committed slot gone, a slot that is whole is all there is to ask.
    last_ways = {
        step.slot
        for step in steps
        if isinstance(step, Start)
        and step.slot is not None
        and step.choice in (Choice.OTHER, Choice.RESTORED)
    }
    return replace(world, steps=steps, standing=world.standing | last_ways)


def _do(world: World, protocol: Protocol) -> Event:
    """The next step of whoever is at work."""
    step, left = world.steps[0], world.steps[1:]
    match step:
        case Write() | Fill():
            kept = tuple(item for item in world.cache if item != step)
            return f"{step}", replace(world, steps=left, cache=(*kept, step))
        case Flush.FLUSH:
            return "flush", _settled(replace(_arrived(world, world.cache), steps=left))
        case Spoil():
            return f"{step}", _with_slot(replace(world, steps=left, trials=0), step.slot, Slot.PART)
        case Set():
            return f"{step}", _called(world, dict(step.wanted), left, protocol)
        case Start():
            return f"{step}", _started(world, step, left)


def _started(world: World, step: Start, left: tuple[Step, ...]) -> World:
    trials = world.trials + (step.choice is Choice.TRIAL)
    return replace(world, steps=left, running=step.slot, choice=step.choice, trials=trials)


def _settled(world: World) -> World:
    """With both copies the same and on the disk, one slot alone may boot as committed."""
    first, second = world.copies
    on_its_way = any(isinstance(step, Write) for step in world.steps)
    if first == second and isinstance(first, State) and not on_its_way:
        return replace(world, standing=frozenset({first.committed}))
    return world


def _called(
    world: World, wanted: dict[str, str], left: tuple[Step, ...], protocol: Protocol
) -> World:
    now = agreed(*world.seen) or restored(world.machine(""))
    try:
        new = asked(now, world.machine(""), wanted)
    except Refused:
        return replace(world, steps=())
    standing = world.standing
    if new.committed != now.committed:
        standing |= {new.committed}
    return replace(world, steps=(*protocol.set(world.seen, new), *left), standing=standing)


def _wishes(world: World, protocol: Protocol) -> Iterator[Event]:
    """What the client, the gate or a person may do next."""
    seen = world.seen
    now = agreed(*seen)
    assert world.running is not None
    if now is None:
        steps = protocol.set(seen, restored(world.machine("")))
        yield "the tool restores both copies", replace(world, steps=steps)
        return
    if protocol.repairs and seen != (now, now):
        yield "the tool repairs", replace(world, steps=protocol.set(seen, now))
        return  # whatever else the tool is asked, it does this first
    if not not_ready(now, world.machine("")):
        other = SLOT_A + SLOT_B - world.running
        for content in (Slot.WHOLE, Slot.DEAD):
            steps = protocol.install(other, content)
            yield f"install {content.name} into {other}", replace(world, steps=steps)
    if now.upgrade:
        back = (("mender_boot_part", str(now.committed)), ("upgrade_available", "0"))
        yield "roll back", replace(world, steps=(Set(back),))
        if now.part == world.running and now.tried:
            yield "commit", replace(world, steps=(Set(COMMIT),))
    elif now.starts:
        steps = protocol.set(seen, now._replace(starts=0))
        yield "confirm the start", replace(world, steps=steps)


def _cuts(world: World) -> Iterator[Event]:
    """Power goes: of what was not flushed any subset is there, and any sector of it torn."""
    kept = [[("lost", one), ("kept", one)] for one in world.cache]
    for at, one in enumerate(world.cache):
        if isinstance(one, Write):
            kept[at].append(("torn", one))
    for outcome in itertools.product(*kept):
        after = _arrived(world, tuple(one for how, one in outcome if how == "kept"))
        for how, one in outcome:
            if how == "torn" and isinstance(one, Write):
                after = _with_copy(after, one.copy, _torn(world.copies[one.copy - 1], one.state))
        lost = any(how != "kept" for how, _ in outcome)
        trials = 0 if lost else world.trials
        off = replace(after, cache=(), steps=(), running=None, choice=Choice.HALT, trials=trials)
        named = ", ".join(f"{how} {one}" for how, one in outcome)
        yield f"power cut ({named or 'nothing unwritten'})", off


def _torn(old: Copy, new: State) -> Copy:
    """Half of one value, half of another; what was no frame before is none after half of one."""
    return Bad.GARBAGE if old is Bad.GARBAGE else Bad.TORN if old != new else new


def _arrived(world: World, items: tuple[Write | Fill, ...]) -> World:
    for item in items:
        if isinstance(item, Write):
            world = _with_copy(world, item.copy, item.state)
        else:
            world = _with_slot(world, item.slot, item.content)
    return replace(world, cache=())


def _damaged(world: World, copy: int) -> World:
    """Something else than this protocol ruins a copy, once."""
    cache = tuple(i for i in world.cache if not (isinstance(i, Write) and i.copy == copy))
    return _with_copy(replace(world, cache=cache, damaged=True), copy, Bad.GARBAGE)


def _with_copy(world: World, copy: int, value: Copy) -> World:
    first, second = world.copies
    return replace(world, copies=(value, second) if copy == 1 else (first, value))


def _with_slot(world: World, slot: int, content: Slot) -> World:
    first, second = world.slots
    return replace(world, slots=(content, second) if slot == SLOT_A else (first, content))


def broken_by(before: World, after: World) -> Law | None:
    """The law that this step breaks."""
    step = before.steps[0] if before.steps and len(after.steps) < len(before.steps) else None
    if isinstance(step, Start) and after.running == step.slot and after.choice is step.choice:
        return _broken_by_start(before, after, step)
    if isinstance(step, Spoil) and after.slots != before.slots:
        copies = (*before.copies, *before.seen)
        if any(isinstance(copy, State) and _names(copy, step.slot) for copy in copies):
            return Law.UNNAMED
    both = all(isinstance(copy, State) for copy in before.copies)
    cut = after.running is None and not after.steps and not after.cache
    if both and cut and agreed(*after.copies) is None and not (after.damaged or after.reset):
        return Law.KEPT
    return None


def _names(copy: State, slot: int) -> bool:
    return slot == copy.part or bool(copy.upgrade)


def _broken_by_start(before: World, after: World, step: Start) -> Law | None:
    if step.slot is None:
        return Law.DECIDED
    if before.slots[step.slot - SLOT_A] is not Slot.WHOLE:
        return Law.WHOLE
    if after.trials > 1 and not after.damaged:
        return Law.ONCE
    passed = step.choice in (Choice.COMMITTED, Choice.ROLLED_BACK)
    if passed and step.slot not in before.standing:
        return Law.PASSED
    return None
