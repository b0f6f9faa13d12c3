"""Continue a run with other settings: in its folder, or in a new one that starts from its checkpoints.

A checkpoint is of one scene and one architecture, and its agent has never trained on the ticks that maps are
fitted and scored on. So the scene, the models and the ranges of ticks stay; how to train further, how to
negotiate and what an agent may use of its machine can change.
"""

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tomli_w

from agents.common.config_error import ConfigError
from agents.common.files import CHECKPOINT, PUBLISHED, write_atomically
from agents.protocol.topology import Topology
from social_jepa.config.overrides import build_config, differing
from social_jepa.config.run_config import RunConfig
from social_jepa.runtime.membership import check_checkpoints, record_start
from social_jepa.runtime.new_run import check_stays_up
from social_jepa.runtime.pairings import record_topology
from social_jepa.runtime.preflight import check_before_start
from social_jepa.runtime.presence import was_simulation
from social_jepa.runtime.simulation import check_not_up
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder, created
from social_jepa.storage.run_folder_errors import RunFolderError

CHANGEABLE = (
    "training.", "distillation.", "negotiation.", "agents.device", "agents.threads", "agents.gpus",
    "agents.workers", "agents.nice",
)  # fmt: skip
TICK_RANGES = ("negotiation.pool_ticks", "negotiation.pool_stride")
SCHEDULE = ("training.steps",)


@dataclass(eq=False, repr=False)
class NoCheckpointError(RunFolderError):
    """A run to continue from in which an agent has saved nothing.

    Attributes:
        path: The run folder.
        agent: The agent.
    """

    path: Path
    agent: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return (
            f"{self.agent} has saved no checkpoint in {self.path}: continue that run first, or start another"
        )


def continued_config(config: RunConfig, settings: Sequence[str], students: Sequence[str] = ()) -> RunConfig:
    """Return the settings of a run with some changed.

    Args:
        config: Settings so far.
        settings: "key.sub=value" each.
        students: Agents that have learned from a teacher.

    Raises:
        ConfigError: A setting is unknown or out of range, or the checkpoints cannot continue with it.
    """
    changed: RunConfig = build_config(RunConfig, config.as_dict(), settings)
    for name, (_, value) in differing(config.as_dict(), changed.as_dict()).items():
        if name in TICK_RANGES:
            raise ConfigError(
                "the ticks that maps are scored on would be among those that agents have trained on",
                name, value, "start a new run with it",
            )  # fmt: skip
        if not name.startswith(CHANGEABLE):
            raise ConfigError(
                "the checkpoints are of another scene or model", name, value,
                f"start a new run with it; what can change is {', '.join(CHANGEABLE)}",
            )  # fmt: skip
        if name == "training.own_ticks":
            raise ConfigError(
                "agents have recorded other ticks already", name, value, "start a new run with it"
            )
        if name in SCHEDULE and students:
            raise ConfigError(
                f"{students[0]} has learned from a teacher, after which its schedule counts as complete",
                name, value, "remove it, or change other settings",
            )  # fmt: skip
    changed.check_agents()
    if changed.training.own_ticks and changed.stretch_ticks != config.stretch_ticks:
        raise ConfigError(
            "with training.own_ticks agents would go on with ticks that others have trained on, "
            f"{changed.stretch_ticks:,} instead of {config.stretch_ticks:,} for each: start a new run"
        )
    return changed


def _present_config(folder: RunFolder, ledger: Ledger) -> RunConfig:
    """Return the settings of a run with the topology that it has now, which the ledger knows."""
    config = folder.config()
    topology = str(ledger.topology(config.negotiation.topology))
    if Topology.parse(config.negotiation.topology) == Topology.parse(topology):
        return config
    return replace(config, negotiation=replace(config.negotiation, topology=topology))


def _started_with(ledger: Ledger) -> str:
    """Return the hash of the settings that a run started with; empty if it never did."""
    starts = ledger.events_of("started")
    return str(starts[-1].details["config"]) if starts else ""


def change_settings(folder: RunFolder, settings: Sequence[str], address: str | None = None) -> None:
    """Change settings of a run in which no process runs; agents train on if their schedule became longer.

    Its published models are published again; the ledger keeps the earlier ones and their edges.

    Args:
        folder: The run folder.
        settings: "key.sub=value" each.
        address: Ray cluster that it will join; None: a local Ray.

    Raises:
        ConfigError: See `continued_config`; nothing has changed.
        NoCheckpointsError: Its agents have published models and saved no checkpoint; nothing has changed.
        UnfitMachineError, NotEnoughMemoryError, NotEnoughDiskError: See `check_before_start`; nothing has
            changed.
        AlreadyUpError, RunFolderInUseError: A process runs in it.
    """
    with folder.command_lock():
        check_not_up(folder)
        folder.acquire_lock().release()
        with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
            members, earlier = ledger.members(), _present_config(folder, ledger)
            config = continued_config(earlier, settings, [each.name for each in members if each.teacher])
            started = _started_with(ledger)
            interrupted = started != folder.config().hash() and started == config.hash()
            if config == earlier and not interrupted:
                return
            check_checkpoints(ledger, folder)
            if was_simulation(folder):
                check_stays_up(config)
            check_before_start(config, address)
            before, after = (Topology.parse(each.negotiation.topology) for each in (earlier, config))
            if before != after:
                record_topology(ledger, before, after, members)
            # first the ledger: after an interruption in between, the same command completes the change
            ledger.event("started", config=config.hash(), online=was_simulation(folder))
        for member in members:
            (folder.agent(member.name) / PUBLISHED).unlink(missing_ok=True)
        write_atomically(folder.config_file, tomli_w.dumps(config.as_dict()).encode())


def fork_run(source: RunFolder, out: Path | None = None, settings: Sequence[str] = ()) -> RunFolder:
    """Return a new run folder whose agents continue from the checkpoints of another run's.

    The new run has the members, poses and bodies of the other as they are now; its ledger starts empty. The
    other run is only read, and may be up.

    Args:
        source: Run to continue from.
        out: Folder to create; default: a new one in ./runs.
        settings: "key.sub=value" each, over those of the other run.

    Raises:
        ConfigError: See `continued_config`; no folder is created.
        NoCheckpointsError: Its agents have published models and saved no checkpoint; no folder is created.
        NoCheckpointError: An agent has saved nothing; no folder is created.
        RunFolderError: The folder cannot be created.
    """
    with contextlib.closing(Ledger(source.ledger_file, read_only=True)) as ledger:
        check_checkpoints(ledger, source)
        members, bodies, earlier = ledger.members(), ledger.bodies(), _present_config(source, ledger)
    config = continued_config(earlier, settings, [member.name for member in members if member.teacher])
    for member in members:
        if not (source.agent(member.name) / CHECKPOINT).is_file():
            raise NoCheckpointError(source.path, member.name)
    with created(config, out) as folder:
        for member in members:
            folder.agent(member.name).mkdir(parents=True)
            shutil.copyfile(source.agent(member.name) / CHECKPOINT, folder.agent(member.name) / CHECKPOINT)
        with contextlib.closing(Ledger(folder.ledger_file, create=True)) as ledger:
            record_start(ledger, config, folder, "started", online=was_simulation(source))
            ledger.join(members, bodies)
            ledger.event("stopped", reason=f"forked from {source.path}")
    return folder
