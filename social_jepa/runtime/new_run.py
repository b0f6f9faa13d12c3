"""The start of a new run, for the command line and for Python: settings, checks, folder."""

import logging
import os
from collections.abc import Sequence

from agents.common.config_error import ConfigError
from social_jepa.config.overrides import build_config
from social_jepa.config.run_config import QUICK, RunConfig, load_config
from social_jepa.runtime.preflight import check_before_start
from social_jepa.storage.run_folder import AnyPath, RunFolder, create

logger = logging.getLogger(__name__)


def new_run(
    settings: Sequence[str] = (), config: RunConfig | AnyPath | None = None, folder: AnyPath | None = None,
    address: str | None = None, quick: bool = False, batch: bool = False,
) -> tuple[RunFolder, str | None]:  # fmt: skip
    """Create the folder of a new run; return it with the address of the Ray cluster to join, if any.

    Args:
        settings: "key.sub=value" each, over those of config.
        config: TOML file with settings, or settings; default: those of the project.
        folder: Folder to create; default: a new one in ./runs.
        address: Ray cluster; see `cluster_address`.
        quick: Begin with the settings of a smaller run, under those of a file.
        batch: Whether it ends once its agents have learned and negotiated, instead of staying up.

    Raises:
        ConfigError, AddressError, RunFolderError, UnfitMachineError, NotEnoughMemoryError,
            NotEnoughDiskError: The settings, the address, the folder or this machine cannot be used; no
            folder is created.
    """
    if isinstance(config, RunConfig):
        given: RunConfig = build_config(RunConfig, config.as_dict(), settings)
        resolved = given.with_memory()
        resolved.check_agents()
    else:
        resolved = load_config(config, settings, QUICK if quick else None)
    if not batch:
        check_stays_up(resolved)
    for risk in resolved.collapse_risks():
        logger.warning("%s", risk)
    address = cluster_address(address)  # before there is a folder
    check_before_start(resolved, address)
    return create(resolved, folder), address


def check_stays_up(config: RunConfig) -> None:
    """Raise ConfigError for agents that take turns: between its turns an agent does not answer its peers."""
    if config.agents.workers:
        raise ConfigError(
            "agents that take turns cannot stay up", "agents.workers", config.agents.workers,
            "set agents.workers=0, or train them with social-jepa run",
        )  # fmt: skip


def cluster_address(address: str | None) -> str | None:
    """Return the address of the Ray cluster to join, by default RAY_ADDRESS; None: start a local Ray.

    Raises:
        AddressError, NotOnClusterError: No simulation can be started there from this machine.
    """
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address:
        from social_jepa.runtime.cluster import check_address

        check_address(address)
    return address
