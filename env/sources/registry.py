"""Build the source of frames that ``scene.source`` names."""

import importlib
from collections.abc import Mapping
from functools import lru_cache

from env.common.custom_class import load_class, place_of
from env.sources.contract import FrameSource, SourceError
from env.sources.settings import FramesConfig

SOURCES: Mapping[str, str] = {  # name: where its class is; its libraries are imported with it
    "images": "env.sources.images:Images",
    "array": "env.sources.array:ArrayFile",
    "hdf5": "env.sources.hdf5:Hdf5File",
    "zarr": "env.sources.zarr_store:ZarrStore",
    "lance": "env.sources.lance_table:LanceTable",
    "gymnasium": "env.sources.gymnasium_env:GymnasiumEnv",
    "video": "env.sources.video:Video",
}
EXTRAS: Mapping[str, str] = {"lance": "lance"}  # that install a source's libraries; of all others: sources


def load_source(name: str) -> type[FrameSource]:
    """Return the class of a source; a custom one is imported.

    Args:
        name: A key of SOURCES, or "package.module:Class".

    Raises:
        ValueError: It names no class that defines every abstract method of FrameSource.
        SourceError: A library that a built-in source reads with is missing.
    """
    if name not in SOURCES:
        return load_class("scene.source", name, FrameSource, "source of frames")  # type: ignore[type-abstract]
    module, _, kind = SOURCES[name].partition(":")
    try:
        found: type[FrameSource] = getattr(importlib.import_module(module), kind)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(name, "sources")
        raise SourceError(
            name, f"it needs the package {error.name}: pip install 'social-jepa[{extra}]'"
        ) from error
    return found


def build_source(name: str, config: FramesConfig, frame_size: int) -> FrameSource:
    """Return the source of a scene; equal arguments share one object within a process.

    Raises:
        ValueError: See `load_source`.
        SourceError: What it should read is missing on this machine or cannot be read, or the class of a
            custom source fails.
    """
    found = load_source(name)
    try:
        return _build(found, config, frame_size)
    except ValueError:
        raise
    except Exception as error:  # a custom class may raise anything, and so may libraries for damaged files
        raise SourceError(
            name, f"building it failed ({type(error).__name__}: {error}){place_of(error)}"
        ) from error


@lru_cache(maxsize=8)
def _build(kind: type[FrameSource], config: FramesConfig, frame_size: int) -> FrameSource:
    return kind(config, frame_size)
