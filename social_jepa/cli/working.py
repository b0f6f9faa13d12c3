"""A line on the terminal while a command waits for other processes."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from social_jepa.cli.options import is_quiet

if TYPE_CHECKING:
    from rich.console import Console


@contextlib.contextmanager
def working(text: str, console: "Console | None" = None) -> Iterator[None]:
    """Show what is being done and for how long; nothing where stderr is no terminal, or with --quiet.

    Args:
        text: What is being done.
        console: Console to show it on; default: stderr.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = console or Console(stderr=True, quiet=is_quiet())
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    shown = console.is_terminal and not console.quiet
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        progress.add_task(escape(text), total=None)
        yield
