"""Settings of a source of frames."""

import re
from dataclasses import dataclass
from pathlib import Path

from env.common.settings_repr import settings_repr
from env.sources.view import View


@dataclass(frozen=True)
class FramesConfig:
    """Where a source takes its frames from, and what its views show; for scene.source alone."""

    path: str = (
        ""  # folder of images, or file (array, hdf5, video) or folder (zarr, lance); kept as absolute path
    )
    key: str = "pixels"  # array of the frames in an .npz, HDF5, zarr or Lance file
    state_key: str = ""  # array of the true state in that file, for evaluation only; empty: unknown
    environment: str = (
        ""  # gymnasium: id of the environment, "module:Id" to import a module that registers it
    )
    seed: int = 0  # gymnasium: of the environment and of its random actions
    ticks: int = 0  # most ticks to use; 0: all that there are; gymnasium records so many
    # what each view shows: whole, left, right, top, bottom, red, green, blue, or "x1,y1,x2,y2" as shares
    views: tuple[str, ...] = ("whole",)
    memory: int = 0  # ticks after which frames no longer resemble earlier ones; 0: measured at the start

    __repr__ = settings_repr

    def __post_init__(self) -> None:
        """Raise ValueError for the first invalid setting."""
        if self.path:
            object.__setattr__(self, "path", str(Path(self.path).expanduser().absolute()))
        views = self.views  # TOML has lists and single texts
        object.__setattr__(self, "views", tuple(views) if isinstance(views, list | tuple) else (views,))
        if not self.views:
            raise ValueError("frames.views is empty: name at least one view, for example whole")
        for text in self.views:
            View.parse(text)
        for name in ("seed", "ticks", "memory"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ValueError(f"frames.{name} must be an integer of 0 or more, got {value!r}")
        if self.environment and not re.fullmatch(r"[\w.:/-]+", self.environment):
            raise ValueError(f"frames.environment={self.environment!r} is no id of a Gymnasium environment")

    @property
    def cuts(self) -> tuple[View, ...]:
        """The views."""
        return tuple(View.parse(text) for text in self.views)
