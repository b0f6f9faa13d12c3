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

MAX_COORDINATE = 1e9  # as of HTTP: far beyond any coordinate of a latent, whose distances are still finite


def parse_vector(text: str | None) -> list[float] | None:
    """Return the numbers of --vector, or None where it is not given.

    Raises:
        CommandError: A part is not a number, or larger than any coordinate.
    """
    if text is None:
        return None
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError as error:
        raise CommandError(f"--vector takes numbers separated by commas, not {text!r}") from error
    for number in numbers:
        if not abs(number) <= MAX_COORDINATE:  # NaN neither
            limits = f"-{MAX_COORDINATE:g} to {MAX_COORDINATE:g}"
            raise CommandError(f"--vector takes finite numbers from {limits}, not {number:g}")
    return numbers


def parse_via(text: str | None) -> str | list[str] | None:
    """Return the agents of --via, or its words best and universe as they are."""
    if text is None or text in (BEST, UNIVERSE):
        return text
    return [name.strip() for name in text.split(",") if name.strip()]


def choose_ends(
    results: Results, source: str, target: str, via: str | list[str] | None
) -> tuple[str, str, str]:
    """Return source and target of a query, and a sentence about what was chosen; empty: both were named.

    Args:
        results: A graph.
        source: Name of --from; empty: that of the first accepted edge, or of the first agent.
        target: Name of --to; likewise.
        via: Agents of --via: none of them is chosen.

    Raises:
        CommandError: There are too few agents.
    """
    missing = [flag for flag, name in (("--from", source), ("--to", target)) if not name]
    if not missing:
        return source, target, ""
    passed = set() if via is None or isinstance(via, str) else set(via)
    edges = (
        edge
        for edge in results.document.edges
        if not passed and edge.accepted_r2 is not None
        and source in ("", edge.source) and target in ("", edge.target)
    )  # fmt: skip
    which = "the first accepted edge"
    if (edge := next(edges, None)) is not None:
        source, target = edge.source, edge.target
    else:
        which = "the first agents"
        names = [member.name for member in results.members if member.name not in {*passed, source, target}]
        if len(names) < len(missing):
            raise CommandError(f"{results.folder.path} has too few agents to translate between two others")
        source, target = source or names.pop(0), target or names.pop(0)
    return source, target, f"{' and '.join(missing)} not given: {source} > {target}, {which}"


def check_edge(results: Results, source: str, target: str) -> None:
    """Raise CommandError, which names the flag that helps, where two agents have no edge of any verdict.

    Raises:
        CommandError: The two never negotiated.
        UnknownAgentError: There is no such agent.
    """
    results.graph.check(source, target)
    if source != target and results.edge(source, target) is None:
        raise CommandError(
            f"no edge from {source} to {target} was negotiated: a path may lead there, with --via {BEST}"
        )


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
