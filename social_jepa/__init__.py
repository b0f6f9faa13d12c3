"""Social-JEPA: agents train JEPA world models alone and negotiate linear maps between their latent spaces.

The names below are imported on first use, so that ``import social_jepa`` loads neither torch nor Ray.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alignment.embeddings.peer import EmbeddingPeer, align
    from social_jepa.config.run_config import load_config
    from social_jepa.graph.query import query
    from social_jepa.graph.results import load_results
    from social_jepa.runtime.networked_peer import NetworkedPeer
    from social_jepa.runtime.simulation import Simulation

__version__ = "0.1.0"
__all__ = [
    "EmbeddingPeer", "NetworkedPeer", "Simulation", "__version__", "align", "load_config", "load_results",
    "query",
]  # fmt: skip

_MODULES = {
    "EmbeddingPeer": "alignment.embeddings.peer",
    "NetworkedPeer": "social_jepa.runtime.networked_peer",
    "align": "alignment.embeddings.peer",
    "Simulation": "social_jepa.runtime.simulation",
    "load_config": "social_jepa.config.run_config",
    "load_results": "social_jepa.graph.results",
    "query": "social_jepa.graph.query",
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
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
