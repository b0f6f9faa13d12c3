"""The simulation behind a run folder, as long as it is up: how agents are doing, and what can be done."""

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

from social_jepa.graph.records import as_dict
from social_jepa.runtime.errors import NotUpError
from social_jepa.storage.run_folder import RunFolder, RunFolderError, SimulationAddress
from social_jepa.system.machine import is_listening

if TYPE_CHECKING:
    from social_jepa.runtime.simulation import Simulation

FRESH = 0.5  # seconds for which one answer of the keeper serves everybody
ANSWER = 0.5  # seconds in which Ray's port must open


class SimulationClient:
    """A way to the simulation that survives its going down and coming back.

    Ray ends a process whose cluster has been gone for a minute: `watch` leaves it in time.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._lock, self._asking = threading.RLock(), threading.Lock()
        self._simulation: Simulation | None = None
        self._at: SimulationAddress | None = None
        self._joined = False
        self._told: tuple[float, list[dict[str, Any]], str] = (0.0, [], "")

    def reach(self) -> "Simulation":
        """Return the simulation.

        Raises:
            NotUpError: It is not up.
        """
        with self._lock:
            living = self._folder.simulation_address()
            if self._simulation is not None and living == self._at:
                return self._simulation
            self.leave()
            if living is None:
                raise NotUpError(self._folder.path)
            from social_jepa.runtime import cluster
            from social_jepa.runtime.simulation import Simulation

            before = cluster.is_connected()
            self._simulation = Simulation.attach(self._folder)
            self._at, self._joined = living, not before
            return self._simulation

    def call(self, verb: str, *arguments: Any, **options: Any) -> Any:
        """Ask the simulation for something: a method of `Simulation` by its name.

        Raises:
            NotUpError: It is not up.
            ValueError, LookupError: It refused.
            RuntimeError: It does not answer.
        """
        simulation = self.reach()
        try:
            answer = getattr(simulation, verb)(*arguments, **options)
        except RuntimeError:
            self.leave()  # whoever asks next looks for it again
            raise
        self._told = (0.0, *self._told[1:])
        return answer

    def status(self) -> tuple[list[dict[str, Any]], str]:
        """Return how every agent is doing, and why that is not known; no agents while it is down."""
        with self._asking:
            when, agents, trouble = self._told
            if self._folder.simulation_address() is None:
                self.leave()
                return [], ""
            if time.monotonic() - when > FRESH:
                agents, trouble = self._ask()
                self._told = (time.monotonic(), agents, trouble)
            return agents, trouble

    def _ask(self) -> tuple[list[dict[str, Any]], str]:
        trouble = ""
        for _ in range(2):  # a simulation that was brought back in the same Ray has another keeper
            try:
                return [as_dict(agent) for agent in self.reach().status()], ""
            except (RunFolderError, RuntimeError) as error:
                trouble = str(error)
                self.leave()
        return [], trouble

    def watch(self) -> None:
        """Leave a cluster that has gone; asked again and again while the server runs."""
        with self._lock:
            if self._simulation is None or not self._joined or self._at is None:
                return
            gone = self._folder.simulation_address() != self._at
            if gone or not is_listening(self._at.address, ANSWER):
                self.leave()

    def leave(self) -> None:
        """Let go of the simulation; Ray too, if it was joined here."""
        with self._lock:
            self._simulation, joined = None, self._joined
            self._at, self._joined = None, False
            if joined:
                from social_jepa.runtime import cluster

                with contextlib.suppress(Exception):  # it may be gone already
                    cluster.disconnect()
