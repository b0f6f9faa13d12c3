"""The supervisor of a batch run whose agents take turns on workers.

Commands talk to it as to the supervisor of agents with one process each. After a death Ray starts
it again; it then starts new workers, and agents continue from their checkpoints.
"""

import agents.common.ray_environment  # noqa: F401

import contextlib
import logging

import ray

from social_jepa.records import AgentStatus
from social_jepa.runtime.agent_status import Observations
from social_jepa.runtime.cluster import SUPERVISOR, ResourceShare, names_in
from social_jepa.runtime.supervisor_base import SupervisorBase
from social_jepa.runtime.turns import Turns

logger = logging.getLogger(__name__)


@ray.remote
class TurnSupervisor(SupervisorBase):
    """Supervisor of one batch run whose agents take turns."""

    def __init__(
        self, folder: str, namespace: str, online: bool, resources: ResourceShare, control: str
    ) -> None:
        """Take the folder's lock, read the ledger, and call `begin`: after a death Ray runs only this again.

        Args:
            folder: Path of the run folder.
            namespace: Ray namespace of the run.
            online: False: agents that take turns do not train on.
            resources: Resources of each worker.
            control: Path of the control socket.

        Raises:
            RunFolderInUseError: Another process runs in the folder.
        """
        assert not online
        super().__init__(folder, namespace, online)
        self._turns = Turns(self._membership, self._ledger_writer, resources)
        self._serve(control, ("end", "progress", "status", "stop"))

    async def begin(self) -> None:
        """End workers of a supervisor that died, and begin; without effect the second time."""
        if self._turns.begun:
            return
        await self._control.start(self._end_without_owner)
        for name in set(names_in(self._namespace)) - {SUPERVISOR}:
            logger.warning("%s ended: its supervisor has restarted", name)
            with contextlib.suppress(ValueError):
                ray.kill(ray.get_actor(name, self._namespace))
        self._turns.begin()

    async def status(self) -> list[AgentStatus]:
        """Return the status of all agents."""
        return [self._turns.status(name) for name in self._membership.members]

    @property
    def _seen(self) -> Observations:
        return self._turns.seen

    async def _save_all(self) -> list[str]:
        return await self._turns.stop()

    def _release_all(self) -> None:
        self._turns.release()
