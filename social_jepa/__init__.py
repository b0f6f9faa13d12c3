"""Social-JEPA: agents train JEPA world models alone and negotiate linear maps between their latent spaces.

::

    import social_jepa as sj

    with sj.up("agents.count=3") as sim:
        sim.wait()
        sim.edges
        sim.translate(sim.encode("agent-0", ticks=[40]), "agent-0", "agent-2")

The names below are imported on first use, so that ``import social_jepa`` loads neither torch nor Ray.
"""

import importlib
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alignment.embeddings.items import AnchorItems
    from alignment.embeddings.pairs import AlignSettings
    from alignment.embeddings.peer import EmbeddingPeer, align
    from alignment.embeddings.storage import load_maps
    from alignment.linear_map import LinearMap
    from social_jepa.config.run_config import load_config
    from social_jepa.graph.query import query
    from social_jepa.graph.results import load_results
    from social_jepa.runtime.networked_peer import NetworkedPeer
    from social_jepa.runtime.run import Run
    from social_jepa.runtime.run import open_demo as demo
    from social_jepa.runtime.simulation import Simulation
    from social_jepa.runtime.simulation import open_run as open  # noqa: A004  # as gzip.open and PIL.Image.open

    up, resume = Simulation.up, Simulation.resume

__version__ = "0.2.0"
__all__ = [  # noqa: RUF022  # in the order of use
    "up", "open", "resume", "demo", "Simulation", "Run", "LinearMap", "load_config", "load_results", "query",
    "align", "AlignSettings", "AnchorItems", "EmbeddingPeer", "NetworkedPeer", "load_maps", "__version__",
]  # fmt: skip

_MODULES = {  # module and name there
    "up": ("social_jepa.runtime.simulation", "Simulation.up"),
    "open": ("social_jepa.runtime.simulation", "open_run"),
    "resume": ("social_jepa.runtime.simulation", "Simulation.resume"),
    "demo": ("social_jepa.runtime.run", "open_demo"),
    "Simulation": ("social_jepa.runtime.simulation", "Simulation"),
    "Run": ("social_jepa.runtime.run", "Run"),
    "LinearMap": ("alignment.linear_map", "LinearMap"),
    "load_config": ("social_jepa.config.run_config", "load_config"),
    "load_results": ("social_jepa.graph.results", "load_results"),
    "query": ("social_jepa.graph.query", "query"),
    "align": ("alignment.embeddings.peer", "align"),
    "AlignSettings": ("alignment.embeddings.pairs", "AlignSettings"),
    "AnchorItems": ("alignment.embeddings.items", "AnchorItems"),
    "EmbeddingPeer": ("alignment.embeddings.peer", "EmbeddingPeer"),
    "NetworkedPeer": ("social_jepa.runtime.networked_peer", "NetworkedPeer"),
    "load_maps": ("alignment.embeddings.storage", "load_maps"),
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562).

    Raises:
        UnfitMachineError: The system is not supported, or another file hides one of our packages.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from social_jepa.system.check import require
    from social_jepa.system.host_checks import check_system
    from social_jepa.system.imports import check_imports

    require(check_system(), check_imports())
    module, attribute = _MODULES[name]
    return attrgetter(attribute)(importlib.import_module(module))


def __dir__() -> list[str]:
    """Return the public names, for completion."""
    return sorted([*__all__, "__doc__", "__file__", "__name__", "__path__"])
