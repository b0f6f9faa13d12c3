"""The options of the command `query`: their values, and errors in terms of flags."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from social_jepa.cli.options import CommandError
from social_jepa.graph.query import BEST
from social_jepa.graph.query_errors import (
    EdgeNotAcceptedError,
    ModelElsewhereError,
    SameAgentError,
    TickRangeError,
    VectorAndTickError,
)
from social_jepa.graph.results import Results
from social_jepa.graph.universe import UNIVERSE
from social_jepa.records import QueryAnswer


def parse_vector(text: str | None) -> list[float] | None:
    """Return the numbers of --vector, or None where it is not given.

    Raises:
        CommandError: A part is not a number.
    """
    if text is None:
        return None
    try:
        return [float(number) for number in text.split(",")]
    except ValueError as error:
        raise CommandError(f"--vector takes numbers separated by commas, not {text!r}") from error


def parse_via(text: str | None) -> str | list[str] | None:
    """Return the agents of --via, or its words best and universe as they are."""
    if text is None or text in (BEST, UNIVERSE):
        return text
    return [name.strip() for name in text.split(",") if name.strip()]


@contextlib.contextmanager
def query_flags() -> Iterator[None]:
    """Raise the errors of a query as CommandError that names flags."""
    try:
        yield
    except EdgeNotAcceptedError as error:
        between = ",".join(error.alternative_path[1:-1])
        remedy = f"; another path is --via {between}" if between else ""
        raise CommandError(error.verdict + remedy) from error
    except SameAgentError as error:
        raise CommandError(f"--from and --to are both {error.agent}: name two agents") from error
    except TickRangeError as error:
        raise CommandError(f"--{error}") from error
    except ModelElsewhereError as error:
        raise CommandError(f"{error}: --vector") from error
    except VectorAndTickError as error:
        raise CommandError("give --tick or --vector, not both") from error


def write_picture(results: Results, answer: QueryAnswer, path: Path) -> Path:
    """Write the picture of --picture and return its path.

    Raises:
        CommandError: The file cannot be written.
        RuntimeError: OpenGL is missing.
    """
    from social_jepa.report.query_picture import PictureWriteError, write_query_picture

    try:
        return write_query_picture(results, answer, path)
    except PictureWriteError as error:
        raise CommandError(f"cannot write --picture {error.path}: {error.reason}") from error
