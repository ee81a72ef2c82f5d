"""The agent against Tier 1, perception and the fleet as messages: arming, stops, modes, tasks."""

import pytest

from runtime.agent.agentd import Agent, build
from runtime.agent.directive import answer_to
from runtime.agent.shared import Command, Verb
from runtime.agent.store import TaskStore
from runtime.agent.task import Task, TaskSource, TaskState
from runtime.modes import StopCause
from runtime.shm import GpuState, Mode, Phase, Sources, StopLevel, StopReason, Workspace
from runtime.skills.refusal import Refusal, RefusalReason, SkillRefusedError

SKILL_HASH = 4711


@pytest.fixture
def agent(world):
    made = build(world.context)
    yield made
    made.close()


@pytest.fixture
def duty_agent(duty_world, monkeypatch):
    monkeypatch.setattr("runtime.agent.skills.SkillShelf.hash_of", lambda _self, _name: SKILL_HASH)
    made = build(duty_world.context)
    yield made
    made.close()


def rearm(agent: Agent, world) -> object:
    command = Command(Verb.REARM)
    agent.inbox.put(command)
    world.run(agent, 50)
    return command.reply.result(timeout=0)


def modes(world) -> Mode:
    return Mode(int(world.directive["mode"]))


def test_agent_arms_by_itself_once_everything_is_healthy(agent, world):
    world.run(agent, 1000)
    assert modes(world) & Mode.SAFE_STOP  # perception is not known to be well yet
    world.run(agent, 6000)
    assert world.state["stop_level"] == StopLevel.NONE
    assert modes(world) == Mode.NOMINAL
    assert world.directive["rearm_count"] == 1
    assert world.directive["speed_scale"] == 1.0


def test_agent_does_not_arm_while_a_critical_check_is_unknown(agent, world):
    world.state["battery_ratio"] = float("nan")
    world.run(agent, 8000)
    assert world.directive["rearm_count"] == 0
    world.state["battery_ratio"] = 0.9
    world.run(agent, 3000)
    assert world.directive["rearm_count"] == 1


def test_agent_answers_each_challenge_in_the_step_that_reads_it(agent, world):
    for challenge in (1, 2**63, 99):
        world.state["challenge"] = challenge
        world.run(agent, 50)
        assert int(world.directive["challenge_response"]) == answer_to(challenge)


def test_agent_steps_often_enough_for_the_liveness_timeout(agent, world):
    period_ms = 1000 / agent.rate_hz
    assert period_ms * 4 <= world.context.config.robot.safety.liveness.timeout_ms


def test_collision_stays_stopped_until_a_person_rearms(agent, world):
    world.run(agent, 7000)
    world.state |= {"stop_level": StopLevel.HOLD, "stop_reason": StopReason.COLLISION}
    world.run(agent, 10_000)
    assert modes(world) & Mode.SAFE_STOP
    assert world.directive["rearm_count"] == 1
    outcome = rearm(agent, world)
    assert outcome.cleared == (StopCause.COLLISION,)
    world.run(agent, 100)
    assert modes(world) == Mode.NOMINAL
    assert world.state["stop_level"] == StopLevel.NONE


def test_stale_command_is_rearmed_without_a_person(agent, world):
    world.run(agent, 7000)
    world.state |= {"stop_level": StopLevel.HOLD, "stop_reason": StopReason.STALE_COMMAND}
    world.run(agent, 2000)
    assert world.state["stop_level"] == StopLevel.NONE
    assert world.directive["rearm_count"] == 2


def test_estop_cannot_be_rearmed_while_the_button_is_pressed(agent, world):
    world.run(agent, 7000)
    world.state |= {"estop": 1, "stop_level": StopLevel.POWER_OFF, "stop_reason": StopReason.ESTOP}
    world.run(agent, 200)
    assert rearm(agent, world).remaining == (StopCause.ESTOP,)
    world.state["estop"] = 0
    world.run(agent, 200)
    assert rearm(agent, world).remaining == ()
    world.run(agent, 100)
    assert world.state["stop_level"] == StopLevel.NONE


def test_operator_stop_holds_until_a_person_rearms(agent, world):
    world.run(agent, 7000)
    agent.inbox.put(Command(Verb.STOP, level=StopLevel.HOLD))
    world.run(agent, 5000)
    assert world.directive["stop_request"] == StopLevel.HOLD
    assert world.directive["allowed_sources"] == 0
    assert world.directive["rearm_count"] == 1
    rearm(agent, world)
    world.run(agent, 100)
    assert world.directive["stop_request"] == StopLevel.NONE
    assert world.directive["rearm_count"] == 2


def test_a_new_agent_does_not_arm_over_a_stop_its_predecessor_requested(world):
    world.state |= {"stop_level": StopLevel.HOLD, "stop_reason": StopReason.REQUESTED}
    world.obedient = False
    agent = build(world.context)
    world.run(agent, 10_000)
    agent.close()
    assert StopCause.OPERATOR in agent._mode_state.causes
    assert world.directive["rearm_count"] == 0


def test_network_loss_and_return_change_the_mode_and_tell_the_fleet(agent, world):
    world.run(agent, 7000)
    world.online = False
    world.run(agent, 4000)
    assert modes(world) == Mode.NETWORK_OFFLINE
    assert world.directive["allowed_levels"] == 3
    world.online = True
    world.run(agent, 5000)
    assert modes(world) == Mode.NOMINAL
    said = [event["modes"] for event in world.events("mode.changed")]
    assert said[-2:] == ["network_offline", "nominal"]


def test_silent_telemetryd_counts_as_no_network(agent, world):
    world.run(agent, 7000)
    world.silent.add("uplink")
    world.run(agent, 9000)
    assert modes(world) == Mode.NETWORK_OFFLINE


def test_gpu_overload_halves_the_policy_and_widens_the_margins(agent, world):
    world.run(agent, 7000)
    world.gpu["slowdown"] = 3.0
    world.run(agent, 1000)
    directive = world.directive
    assert modes(world) == Mode.GPU_OVERLOADED
    assert (directive["policy_rate_hz"], directive["allowed_levels"]) == (50, 1)
    assert directive["margin_multiplier"] == 1.5


def test_gpu_gone_leaves_stereo_and_the_fallback_and_asks_for_a_human(agent, world):
    world.run(agent, 7000)
    world.gpu["present"] = 0
    world.scene["gpu_state"] = int(GpuState.OFFLINE)
    world.run(agent, 1000)
    directive = world.directive
    assert modes(world) == Mode.GPU_OFFLINE
    assert (directive["stereo"], directive["perception_rate_hz"]) == (1, 10)
    assert directive["allowed_sources"] == Sources.FALLBACK
    assert world.events("mode.changed")[-1]["request_human"]


def test_gpu_gone_with_unknown_workspace_stops(agent, world):
    world.run(agent, 7000)
    world.gpu["present"] = 0
    world.people["workspace"] = int(Workspace.UNKNOWN)
    world.run(agent, 1000)
    assert modes(world) == Mode.GPU_OFFLINE | Mode.SAFE_STOP
    assert world.state["stop_level"] == StopLevel.CONTROLLED


def test_control_that_falls_silent_is_a_safe_stop_and_its_return_is_armed(agent, world):
    world.run(agent, 7000)
    world.silent.add("state")
    world.run(agent, 1000)
    assert modes(world) & Mode.SAFE_STOP
    world.silent.clear()
    world.run(agent, 3000)
    assert modes(world) == Mode.NOMINAL


# Tasks


def submit(agent: Agent, world, **fields) -> object:
    from runtime.agent.duty import Request

    command = Command(Verb.SUBMIT, request=Request("pick_place", TaskSource.API, **fields))
    agent.inbox.put(command)
    world.run(agent, 50)
    accepted = command.reply.result(timeout=0)
    assert accepted.saved.result(timeout=5)
    return accepted.task


def complete(agent: Agent, world) -> None:
    """Plays the policy and the plant for one task that goes well."""
    world.run(agent, 500)
    assert world.goal["phase"] == Phase.PICK
    task_id, place = int(world.goal["task_id"]), tuple(map(float, world.goal["place_pos"]))
    world.state["gripper_holding"] = 1
    world.run(agent, 200)
    assert world.goal["phase"] == Phase.PLACE
    world.state["gripper_holding"] = 0
    world.parts = [*world.parts[1:], (90 + task_id, place)]
    world.policy = {"task_id": task_id, "done": 1}
    world.run(agent, 500)


def test_agent_works_on_the_next_part_that_is_seen(duty_agent, duty_world):
    world = duty_world
    world.parts = [(1, (0.45, -0.2, 0.04)), (2, (0.5, -0.3, 0.04))]
    world.run(duty_agent, 7000)
    assert world.goal["skill_hash"] == SKILL_HASH
    complete(duty_agent, world)
    complete(duty_agent, world)
    assert duty_agent.duty.tally.done == 2
    assert len(world.events("task.done")) == 2
    world.run(duty_agent, 3000)
    assert world.goal["phase"] == Phase.IDLE  # nothing left to pick


def test_a_task_tells_its_journey_from_the_queue_to_its_result(duty_agent, duty_world):
    world = duty_world
    world.parts = [(1, (0.45, -0.2, 0.04))]
    world.run(duty_agent, 7000)
    complete(duty_agent, world)
    told = [fields for fields in world.events("span") if fields["task_id"] == 1.0]
    stages = ("queue", "select", "pick", "place", "retreat", "verify", "attempt", "task")
    ended = [fields for fields in told if fields["ended_ago_us"] >= 0]
    assert [f["step"] for f in ended if f["step"] in stages] == list(stages)
    assert {fields["parent"] for fields in told} <= {"", *(fields["span"] for fields in told)}
    assert len({fields["trace"] for fields in told}) == 1
    assert {f["status"] for f in ended if f["step"] in stages} == {"ok"}
    names = [name for name in ("perception.looked", "feedback.given") if world.events(name)]
    assert names == ["perception.looked", "feedback.given"]


def test_a_task_that_was_asked_for_comes_before_the_duty(duty_agent, duty_world):
    world = duty_world
    world.run(duty_agent, 7000)
    task = submit(duty_agent, world, object_id=2, high_value=True)
    world.parts = [(1, (0.45, -0.2, 0.04)), (2, (0.5, -0.3, 0.04))]
    world.run(duty_agent, 500)
    assert world.goal["task_id"] == task.task_id
    assert world.goal["object_id"] == 2
    assert world.goal["high_value"] == 1


def test_a_stop_makes_the_goal_idle_and_the_task_goes_on_afterwards(duty_agent, duty_world):
    world = duty_world
    world.parts = [(1, (0.45, -0.2, 0.04))]
    world.run(duty_agent, 7000)
    assert world.goal["phase"] == Phase.PICK
    world.state |= {"stop_level": StopLevel.HOLD, "stop_reason": StopReason.COLLISION}
    world.run(duty_agent, 500)
    assert world.goal["phase"] == Phase.IDLE
    rearm(duty_agent, world)
    world.run(duty_agent, 500)
    assert world.goal["phase"] == Phase.PICK


def test_waiting_tasks_survive_the_agents_death(duty_world, monkeypatch):
    monkeypatch.setattr("runtime.agent.skills.SkillShelf.hash_of", lambda _self, _name: SKILL_HASH)
    first = build(duty_world.context)
    duty_world.run(first, 100)
    kept = [submit(first, duty_world).task_id for _ in range(3)]
    first._store.close()  # the writer thread's queue is what a dying process loses
    del first, duty_world.directives
    import gc

    gc.collect()
    second = build(duty_world.context)
    assert [task.task_id for task in second.duty.queue] == kept
    assert all(task.state is TaskState.QUEUED for task in second.duty.queue)
    second.close()


def test_a_task_without_its_skill_fails_with_that_reason(agent, world):
    world.run(agent, 7000)
    submit(agent, world)
    world.run(agent, 200)
    assert agent.duty.recent[0].reason == "skill_refused"


def test_health_is_reported_as_metrics(agent, world):
    world.run(agent, 1000)
    checks = {fields["check"] for fields in world.events("health")}
    assert checks == {
        "battery",
        "clock",
        "gpu",
        "gripper_pressure",
        "motor_temperature",
        "network",
    }


def test_skills_are_verified_before_the_first_step(duty_world, monkeypatch):
    """Verification reads files for longer than Tier 1 waits for an answer."""
    verified: list[str] = []

    def obtain(_shelf, name, *, online):
        verified.append(name)
        raise SkillRefusedError(Refusal(RefusalReason.NOT_FOUND, name, "", "", ""))

    monkeypatch.setattr("runtime.agent.skills.SkillShelf.obtain", obtain)
    agent = build(duty_world.context)
    assert verified == ["pick_place"]
    agent.close()


def test_a_task_that_ran_when_the_agent_ended_is_tried_again_and_its_own_duty_is_not(
    duty_world, monkeypatch
):
    monkeypatch.setattr("runtime.agent.skills.SkillShelf.hash_of", lambda _self, _name: SKILL_HASH)
    store = TaskStore(duty_world.context.paths.tasks)
    for number, source in enumerate((TaskSource.DUTY, TaskSource.API), start=1):
        store.save(Task(number, "pick_place", source, 0, state=TaskState.ACTIVE)).result()
    used_up = Task(3, "pick_place", TaskSource.API, 0, state=TaskState.ACTIVE, attempts=2)
    store.save(used_up).result()
    store.close()
    agent = build(duty_world.context)
    assert [(task.task_id, task.attempts) for task in agent.duty.queue] == [(2, 1)]
    ended = {task.task_id: task.state for task in agent.duty.recent}
    assert ended == {1: TaskState.CANCELLED, 3: TaskState.FAILED}
    assert (agent.duty.tally.failed, agent.duty.tally.cancelled) == (1, 1)
    agent.close()
