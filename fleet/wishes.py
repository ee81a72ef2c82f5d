"""What people ask of a robot: stop, re-arm, a task, and faults where it is simulated.

Pages and the API both ask here. Whether it is done is the robot's decision: its agent refuses what
its modes, its skills or its disk do not allow, and says why.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from fleet.local import Reply, ask, clear_faults
from fleet.people.roles import Principal
from fleet.problem import ProblemError
from fleet.settings import FleetSettings, RobotEntry
from fleet.upkeep import HeldError
from fleet.watch import Board, Watch

Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.]{0,47}$")]
Skill = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class Wish(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FaultWish(Wish):
    component: Word
    kind: Word


class StopWish(Wish):
    level: Literal["controlled", "hold", "power_off"] = "controlled"
    cancel_tasks: bool = Field(False, description="what waits is not done after the re-arm either")


class RearmWish(Wish):
    pass


class TaskWish(Wish):
    skill: Skill = "pick_place"
    object_id: int | None = Field(
        None, ge=0, le=4_294_967_295, description="null: the next part that is seen"
    )
    high_value: bool = False


@dataclass(frozen=True)
class Wishes:
    settings: FleetSettings
    watch: Watch

    async def stop(self, robot_id: str, wish: StopWish) -> Reply:
        """Whoever works on it: stopping is always free."""
        socket = self._here(robot_id).agent_socket
        reply = await ask(socket, "POST", "/v1/stop", wish.model_dump())
        return Reply(reply.status, "stop requested", reply.body) if reply.is_good else reply

    async def rearm(self, robot_id: str, who: Principal) -> Reply:
        socket = self._free(robot_id, who).agent_socket
        reply = await ask(socket, "POST", "/v1/rearm", {})
        if reply.is_good and isinstance(reply.body, dict) and reply.body.get("remaining"):
            causes = ", ".join(str(cause) for cause in reply.body["remaining"])
            text = f"not re-armed: {causes.replace('_', ' ')} is still there"
            return Reply(409, text, reply.body)
        return Reply(reply.status, "re-armed", reply.body) if reply.is_good else reply

    async def submit(self, robot_id: str, wish: TaskWish, who: Principal) -> Reply:
        body = {**wish.model_dump(), "source": "fleet"}
        socket = self._free(robot_id, who).agent_socket
        reply = await ask(socket, "POST", "/v1/tasks", body)
        return Reply(reply.status, "task accepted", reply.body) if reply.is_good else reply

    async def inject(self, robot_id: str, wish: FaultWish) -> Reply:
        socket = self._simulated(robot_id).faults_socket
        reply = await ask(socket, "POST", "/faults", wish.model_dump())
        if reply.is_good and isinstance(reply.body, dict):
            return Reply(200, f"{wish.component}: {reply.body.get('effect', wish.kind)}")
        return reply

    async def clear(self, robot_id: str) -> Reply:
        return await clear_faults(self._simulated(robot_id).faults_socket)

    def board(self, robot_id: str) -> Board:
        board = self.watch.boards.get(robot_id)
        if board is None:
            raise ProblemError(404, "no_such_robot", f"no robot {robot_id!r} has been heard")
        return board

    def _free(self, robot_id: str, who: Principal) -> RobotEntry:
        """Nobody makes a robot move that somebody else works on."""
        kept = self.board(robot_id).upkeep
        if kept is not None and not kept.is_free_for(who):
            raise ProblemError(409, "in_maintenance", str(HeldError(kept)))
        return self._here(robot_id)

    def _here(self, robot_id: str) -> RobotEntry:
        self.board(robot_id)
        entry = self.settings.robot(robot_id)
        if entry is None:
            detail = "this robot is not on this machine; ask it on its own"
            raise ProblemError(409, "not_here", detail)
        return entry

    def _simulated(self, robot_id: str) -> RobotEntry:
        entry = self._here(robot_id)
        if not entry.simulated:
            detail = "this robot is not simulated: nothing of it can be broken"
            raise ProblemError(409, "not_simulated", detail)
        return entry
