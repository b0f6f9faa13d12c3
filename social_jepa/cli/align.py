"""The command `align`: two tables of embeddings by any encoders become an edge in both directions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from social_jepa.cli.options import AsJson, CommandError, print_json

if TYPE_CHECKING:
    from social_jepa.records.alignment import AlignmentRecord

app = typer.Typer()

Ids = Annotated[
    list[Path] | None,
    typer.Option(help="Ids of the rows, one in each line, or .npy; once for both tables or for each."),
]


@app.command("align")
def align(
    first: Annotated[Path, typer.Argument(metavar="A", help="Table: .npy, .npz, .safetensors or .csv.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Table of the same anchors, another encoder.")],
    ids: Ids = None,
    time_order: Annotated[
        bool, typer.Option("--time-order", help="Rows are consecutive ticks: the null shifts them in time.")
    ] = False,
    memory: Annotated[
        int | None, typer.Option(help="Rows until they are unrelated; by default estimated.")
    ] = None,
    heldout: Annotated[float, typer.Option(help="Share of the anchors that only scores the maps.")] = 0.5,
    pairs: Annotated[int | None, typer.Option(help="Anchors to fit on; by default all others.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice of anchors.")] = 0,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Score orthogonal Procrustes on the same anchors too.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the maps with their whitening: .safetensors.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the directions against the null: .svg, .png or .pdf.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Align two tables of embeddings of the same anchors, by any encoders, in both directions."""
    from alignment.embeddings.files import read_table
    from alignment.embeddings.pairs import AlignSettings
    from social_jepa.cli.alignment_table import print_alignment

    kind = _picture_kind(picture)
    settings = AlignSettings(pairs, heldout, seed, time_order, memory)
    names, rows = _names(first, second), _read_ids(ids or [])
    tables = [read_table(first, names[0], rows[0]), read_table(second, names[1], rows[1])]
    record = _align(tables[0], tables[1], settings, baselines, out)
    if picture is not None:
        _draw(record, picture, kind)
    if as_json:
        print_json(record)
    else:
        print_alignment(record)


def _align(first: Any, second: Any, settings: Any, baselines: bool, out: Path | None) -> "AlignmentRecord":
    """Return the record of an alignment; write its maps if a file is named."""
    from agents.common.files import write_atomically
    from alignment.embeddings.alignment import align_sides, compared_sides
    from alignment.embeddings.storage import encode_maps
    from social_jepa.records.alignment import AlignmentRecord

    sides = compared_sides(first, second, settings)
    found = align_sides(sides, settings)
    if out is not None:
        write_atomically(out, encode_maps(found))
    if not baselines:
        return AlignmentRecord.of(found)
    from alignment.embeddings.baselines import compare_methods  # imports scipy

    return AlignmentRecord.of(found, compare_methods(found, sides))


def _draw(record: "AlignmentRecord", path: Path, kind: str) -> None:
    from agents.common.files import write_atomically
    from social_jepa.report.alignment_plot import draw_alignment

    write_atomically(path, draw_alignment(record, kind))


def _names(first: Path, second: Path) -> tuple[str, str]:
    """Return names of the tables: of their files, with the folder or a letter where these are equal."""
    longer = [f"{path.parent.name}/{path.stem}" for path in (first, second)]
    for one, other in ((first.stem, second.stem), longer):
        if one != other:
            return one, other
    return f"{first.stem} A", f"{second.stem} B"


def _read_ids(paths: list[Path]) -> list[list[Any] | None]:
    """Return the ids of both tables, None where --ids does not give them.

    Raises:
        CommandError: There are more than two files.
    """
    from alignment.embeddings.files import read_ids

    if len(paths) > 2:
        raise CommandError(f"--ids is given {len(paths)} times: once for both tables, or once for each")
    found: list[list[Any] | None] = [read_ids(path) for path in paths]
    return found * 2 if len(found) == 1 else found or [None, None]


def _picture_kind(picture: Path | None) -> str:
    """Return the format of a picture by its ending.

    Raises:
        CommandError: It cannot be drawn in that format.
    """
    kind = picture.suffix.lower().removeprefix(".") if picture is not None else "svg"
    if kind not in ("svg", "png", "pdf"):
        raise CommandError(f"--picture {picture}: name a file that ends in .svg, .png or .pdf")
    return kind
