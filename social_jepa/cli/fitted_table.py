"""A table that no terminal crops: it leaves out columns where there is no room, and folds the others."""

from collections.abc import Collection, Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

GAP = 2  # spaces between two columns
LEAST_TEXT = 8  # characters to which a column of text is folded before columns of numbers are
LEAST_PROSE = 20  # characters to which sentences are folded before a column is left out for them


class FittedTable(Table):
    """A table of plain text.

    Without room for all columns those of `spare` are left out, one after the other, and a line below names
    them. What is still too wide is folded into several lines: text, and numbers only where text is as narrow
    as it can be. Cells are shown as they are: brackets are no markup.

    Attributes:
        spare: Headings of columns that may be left out, in that order.
        prose: Headings of columns of sentences, which are folded before any column is left out.
        notes: Lines below the table, plain text.
    """

    def __init__(self, title: str = "", spare: Iterable[str] = (), prose: Collection[str] = ()) -> None:
        """Start without columns; the title is markup."""
        super().__init__(
            title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False
        )
        self.spare, self.prose = tuple(spare), frozenset(prose)
        self.notes: list[str] = []

    def add_texts(self, *headings: str, whole: bool = False) -> None:
        """Add columns of text, aligned left; `whole`: they are folded as numbers are."""
        for heading in headings:
            self.add_column(heading, no_wrap=whole)

    def add_numbers(self, *headings: str) -> None:
        """Add columns of numbers, aligned right."""
        for heading in headings:
            self.add_column(heading, justify="right", no_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the title, the table with the columns that fit, and the lines below it."""
        if isinstance(self.title, str):
            yield Text.from_markup(self.title, style=self.title_style or "")
        kept, left_out = self._choose(options.max_width)
        yield self._with(kept, fold_all=self._needed(kept, folded=True) > options.max_width)
        if left_out:
            yield Text(f"left out for lack of width: {', '.join(left_out)}; --json has all")
        for note in self.notes:
            yield Text(note)

    def _choose(self, width: int) -> tuple[list[Column], list[str]]:
        """Return the columns to show, and the headings of those that are left out, from left to right."""
        kept = list(self.columns)
        for heading in self.spare:
            if self._needed(kept) <= width:
                break
            kept = [column for column in kept if column.header != heading]
        return kept, [str(column.header) for column in self.columns if column not in kept]

    def _needed(self, columns: Sequence[Column], folded: bool = False) -> int:
        """Return the width of some columns; `folded`: with text as narrow as it can be."""
        return sum(self._width(column, folded) for column in columns) + GAP * (len(columns) - 1)

    def _width(self, column: Column, folded: bool) -> int:
        widest = max(cell_len(str(cell)) for cell in (column.header, *column.cells))
        if folded and not column.no_wrap:
            return min(widest, LEAST_TEXT)
        return min(widest, LEAST_PROSE) if column.header in self.prose else widest

    def _with(self, columns: Sequence[Column], fold_all: bool) -> Table:
        table = Table(box=None, pad_edge=False)
        for column in columns:
            table.add_column(
                Text(str(column.header)), justify=column.justify, overflow="fold",
                no_wrap=column.no_wrap and not fold_all,
            )  # fmt: skip
        for row in zip(*(column.cells for column in columns), strict=True):
            table.add_row(*(Text(str(cell)) for cell in row))
        return table
