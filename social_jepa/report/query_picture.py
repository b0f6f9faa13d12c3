"""The picture of a query: the source's view of a tick beside the target's views of the nearest ticks."""

from dataclasses import dataclass
from pathlib import Path

from social_jepa.graph.observer import Observer
from social_jepa.graph.query_errors import QueryError
from social_jepa.graph.results import Results
from social_jepa.records import QueryAnswer
from social_jepa.report.rendering import sheet, write_png


@dataclass(eq=False, repr=False)
class PictureWriteError(QueryError):
    """A picture that cannot be written.

    Attributes:
        path: The file.
        reason: What the operating system says.
    """

    path: Path
    reason: str

    def __str__(self) -> str:
        """Return the sentence."""
        return f"cannot write the picture {self.path}: {self.reason}"


def write_query_picture(results: Results, answer: QueryAnswer, path: Path) -> Path:
    """Render the views of a query's answer into a PNG and return its path.

    Raises:
        PictureWriteError: The file cannot be written.
        RuntimeError: OpenGL is missing.
    """
    source, target, tick = answer.source, answer.target, answer.tick
    with Observer(results) as observer:
        found = [
            (f"{target} t={near.tick} d={near.distance:.2f}", observer.render(target, near.tick))
            for near in answer.nearest
        ]
        rows = [found]
        if tick is not None:
            views = [(f"{agent} t={tick}", observer.render(agent, tick)) for agent in (source, target)]
            rows = [views, found]
    try:
        return write_png(path, sheet(rows))
    except OSError as error:
        raise PictureWriteError(path, str(error.strerror)) from error
