"""README.md, HTML pages, and figures as PNG."""

import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from social_jepa.experiments.framework import table
from social_jepa.experiments.framework.artifacts import find_documents
from social_jepa.experiments.framework.document import ConditionCosts
from social_jepa.experiments.framework.figure_io import MAX_FULL_COLOR_BYTES, check_plot_name, draw_png
from social_jepa.experiments.framework.html import experiment_page, index_page
from social_jepa.records import encode, replace
from tests.support.results_document import PLAIN

SCRIPT = '<script>alert("x")</script> & $name {{ name }} `code`'


def with_script():
    return replace(
        PLAIN, question=SCRIPT, protocol=SCRIPT, command=SCRIPT, notes=(SCRIPT,), settings={SCRIPT: SCRIPT},
        versions={SCRIPT: SCRIPT}, conditions={SCRIPT: ConditionCosts(seconds=1.0, flops=1.0)},
        metrics=tuple(replace(metric, name=SCRIPT, group=SCRIPT) for metric in PLAIN.metrics),
    )  # fmt: skip


class Page(HTMLParser):
    """Tags, links and text of a page; fails for tags that are not closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.links = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for key, value in attributes if key in ("href", "src")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("document", [PLAIN, with_script()], ids=["plain", "script"])
def test_a_page_is_valid_shows_everything_as_text_and_loads_nothing(tmp_path, document):
    page = Page(experiment_page(tmp_path, document))

    assert "script" not in page.tags
    assert all(link.startswith("data:") for link in page.links)
    assert document.question.split()[0] in page.text
    assert "1 of 2" in page.text
    assert "0.400 to 0.600" in page.text
    assert document.command in page.text


def test_intervals_nulls_baselines_and_thresholds_are_in_the_row_of_their_metric(tmp_path):
    text = experiment_page(tmp_path, PLAIN)
    rows = {
        cells[0]: cells[1:]
        for cells in (re.findall(r"<td[^>]*>(.*?)</td>", row) for row in text.split("<tr>"))
        if cells
    }

    assert rows["one"] == ["0.500", "0.400 to 0.600", "0", "0.300", "&gt;= 0.7", "no"]
    assert rows["two"] == ["–", "", "", "", "", ""]
    assert text.index(">one<") < text.index(">three<") < text.index(">two<"), "a group is in one place"


def test_metrics_with_thresholds_come_first_then_plots_then_other_metrics_and_notes(tmp_path):
    (tmp_path / "values.png").write_bytes(b"image")
    document = replace(PLAIN, plots=("values",))
    readme = table.markdown_page(document)

    for text, plot in ((experiment_page(tmp_path, document), "<figure"), (readme, "![values]")):
        places = [text.index(what) for what in ("three", plot, "two", "A note.")]
        assert places == sorted(places)
        assert all(text.count(name) == 1 for name in ("three", "two"))
    without = [replace(metric, threshold=None) for metric in PLAIN.metrics]
    assert table.split_groups(without) == (table.group_metrics(without), [])


def test_equal_documents_give_equal_pages(tmp_path):
    assert experiment_page(tmp_path, PLAIN) == experiment_page(tmp_path, PLAIN)


def test_a_docstring_becomes_paragraphs_lists_and_code(tmp_path):
    text = "A `word` here\nand there.\n\nThree:\n- one\n  goes on\n- <two>\n\nEnd."

    page = experiment_page(tmp_path, replace(PLAIN, protocol=text))

    section = page[page.index("<h2>Protocol</h2>") :].partition("</section>")[0]
    assert section.replace(' class="lead"', "").replace(' class="notes"', "") == (
        "<h2>Protocol</h2>\n<p>A <code>word</code> here and there.</p>\n<p>Three:</p>\n"
        "<ul><li>one goes on</li><li>&lt;two&gt;</li></ul>\n<p>End.</p>\n"
    )


def test_the_readme_has_one_row_for_each_metric_and_escapes_what_would_end_a_cell():
    before, fence, after = re.split(r"^```(?:sh)?$", table.markdown_page(with_script()), flags=re.MULTILINE)
    rows = [line for line in (before + after).splitlines() if "script" in line]
    cells = [re.split(r"(?<!\\)\|", row) for row in rows if row.startswith("|")]

    assert len(cells) == 3
    assert {len(row) for row in cells} == {len(table.COLUMNS) + 2}
    assert not any("<script" in row.replace(r"\<", "") for row in rows)
    assert fence.strip() == SCRIPT, "text between fences is shown literally"
    assert any("**no**" in row for row in rows)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0"), (-1e-9, "-1.00e-09"), (-0.0, "0"), (0.12345, "0.123"),
     (-12.34, "-12.3"), (1234.5, "1,234"), (24.0, "24"), (2e6, "2.00e+06")],
)  # fmt: skip
def test_a_number_is_formatted_with_few_digits(value, text):
    assert table.format_number(value) == text


def test_the_index_lists_the_experiments_of_a_folder_in_the_order_of_the_registry(tmp_path):
    for name in ("zeta", "counting", "alpha"):
        (tmp_path / name).mkdir()
        document = replace(PLAIN, name=name, question=SCRIPT)
        (tmp_path / name / "results.json").write_bytes(encode(document))
    others = {"list": "[]", "cut": '{"name": "cut"', "renamed": encode(PLAIN).decode()}
    others["old"] = encode(replace(PLAIN, name="old", format=0)).decode()
    for name, text in others.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(text)

    page = Page(index_page(tmp_path, tmp_path / "pages"))

    assert [document.name for document in find_documents(tmp_path)] == ["counting", "alpha", "zeta"]
    assert page.links == ["../counting/README.md", "../alpha/README.md", "../zeta/README.md"]
    assert "1 of 2" in page.text
    assert "script" not in page.tags


def scatter(points):
    figure = Figure(figsize=(4, 3))
    rng = np.random.default_rng(0)
    axes = figure.subplots()
    axes.scatter(*rng.standard_normal((2, points)), c=rng.random(points))
    axes.set_title("a <title>")
    return figure


def test_equal_figures_give_equal_bytes_without_metadata():
    png = draw_png(scatter(50))

    assert png == draw_png(scatter(50))
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.text) == ("PNG", {})


def test_a_figure_with_many_colors_is_reduced_to_a_small_file():
    figure = Figure(figsize=(6, 5))
    figure.subplots().imshow(np.random.default_rng(0).random((400, 400, 3)), interpolation="none")

    assert len(draw_png(figure)) < 2 * MAX_FULL_COLOR_BYTES


@pytest.mark.parametrize("name", ["../x", "a b", "", "A", "x.png", "a/b"])
def test_a_plot_name_that_cannot_be_a_file_name_is_rejected(name):
    with pytest.raises(ValueError, match="a plot's name is lowercase"):
        check_plot_name(name)
