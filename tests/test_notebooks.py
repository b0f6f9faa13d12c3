"""The notebooks of examples/ run from the first cell to the last, and show tables and plots."""

import os
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.ray

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.fixture
def folder(tmp_path, monkeypatch, ray_local):
    """A copy of examples/, whose simulations join the Ray of the test session."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_ADDRESS", ray_local)
    monkeypatch.delenv("MPLBACKEND")  # a kernel sets its own, which shows plots in the notebook
    return Path(shutil.copytree(ROOT / "examples", tmp_path / "examples"))


def outputs(notebook):
    """Return what each code cell has shown: data by media type."""
    return [
        {key: value for output in cell.outputs for key, value in output.get("data", {}).items()}
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_html_and_plots(folder, path):
    notebook = nbformat.read(folder / path.name, as_version=4)
    client = NotebookClient(
        notebook, timeout=240, startup_timeout=240, resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=os.environ)  # an error in a cell is raised

    shown = outputs(notebook)
    assert any("text/html" in each for each in shown)
    assert any("image/png" in each for each in shown)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)

    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
