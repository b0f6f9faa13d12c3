"""Why an agent ended, as a record; importing this loads no torch."""

import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from agents.common.packages import PACKAGES
from agents.models.settings import module_of

MAX_TRACEBACK = 50_000  # characters kept of a traceback: its end says most


@dataclass(frozen=True)
class Failure:
    """The error that ended an agent.

    Attributes:
        agent: Name of the agent.
        phase: What it was doing, see `Progress.phase`; "starting" and "checking" come before that.
        step: Training steps that it had done.
        type: Class of the error, with its module unless it is built in.
        message: Text of the error; may be empty.
        file: File of the custom world model that raised it, or else of this project; empty: unknown.
        line: Line in that file; 0: unknown.
        traceback: Python's traceback.
    """

    agent: str
    phase: str
    step: int
    type: str
    message: str
    file: str
    line: int
    traceback: str

    @classmethod
    def of(
        cls, error: BaseException, agent: str, phase: str = "starting", step: int = 0, kind: str = ""
    ) -> "Failure":
        """Return the record of an exception, which may have no text.

        Args:
            error: The exception, as caught.
            agent: Name of the agent.
            phase: What it was doing.
            step: Training steps that it had done.
            kind: Kind of its world model: frames of that module are preferred as the place of the error.
        """
        file, line = _place(error, module_of(kind))
        text = "".join(traceback.format_exception(error))
        return cls(agent, phase, step, _class_name(error), _text(error), file, line, text[-MAX_TRACEBACK:])

    def __str__(self) -> str:
        """Return the class and the text of the error in one line."""
        text = " ".join(self.message.split())
        return f"{self.type}: {text}" if text else self.type


def _class_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # the class of a custom error may be wrong as well
        return f"its text cannot be read ({type(second).__name__})"


def _place(error: BaseException, module: str) -> tuple[str, int]:
    traces = [calls(traceback.walk_tb(each.__traceback__))[::-1] for each in _causes(error)]
    return custom_call([call for trace in traces for call in trace], module)


def custom_call(calls: Sequence[tuple[str, str, int]], module: str = "") -> tuple[str, int]:
    """Return file and line of the newest call: in a module, else outside libraries, else in this project.

    Args:
        calls: (module, file, line) of each call, the newest first.
        module: Module of a custom world model; empty: none.
    """
    in_model = [call for call in calls if module and f"{call[0]}.".startswith(f"{module}.")]
    own = [call for call in calls if not _is_library(call[1])]
    custom = [call for call in own if call[0].split(".")[0] not in PACKAGES]
    for found in (in_model, custom, own):
        if found:
            return found[0][1], found[0][2]
    return "", 0


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors that led to one, the first cause first."""
    chain: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and found not in chain:
        chain.append(found)
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return reversed(chain)


def calls(frames: Iterable[tuple[FrameType, int]]) -> list[tuple[str, str, int]]:
    """Return (module, file, line) of frames and their lines, in the given order."""
    return [
        (str(frame.f_globals.get("__name__", "")), frame.f_code.co_filename, line) for frame, line in frames
    ]


def _is_library(file: str) -> bool:
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    parents = {str(parent) for parent in Path(file).parents}
    return file.startswith("<") or bool(folders & parents)
