"""`social-jepa demo`: a run that was trained before, to try everything that reads a run."""

from typing import Annotated

import typer

from social_jepa.cli.hints import hint, work_on
from social_jepa.cli.options import AsJson, Out, print_json, suggest_another_out
from social_jepa.pretrained import SceneName

app = typer.Typer()
NEXT = (
    ("query", "--from", "agent-0", "--to", "agent-2", "--tick", "40"),
    ("edge", "agent-0", "agent-2"),
    ("serve",),
)


@app.command()
def demo(
    scene: Annotated[
        SceneName,
        typer.Option(help="Renderer of the scene in which they were trained; toy needs no OpenGL."),
    ] = "toy",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Open a run of four trained agents that comes with the package: graph, query and page work at once."""
    from social_jepa.cli.tables import print_graph
    from social_jepa.graph.results import full_document, load_results
    from social_jepa.pretrained.archive import archive_of, unpack
    from social_jepa.report.page import write_report

    with suggest_another_out():
        folder = unpack(archive_of(scene), out)
    work_on(folder.path)
    results = load_results(folder)
    write_report(results)
    if as_json:
        print_json({"run": str(folder.path), "report": str(folder.report_file)})
        return
    print_graph(full_document(results))
    typer.echo(f"run folder  {folder.path}\nreport      {folder.report_file}\nnext")
    for words in NEXT:
        typer.echo(f"    {hint(*words)}")
