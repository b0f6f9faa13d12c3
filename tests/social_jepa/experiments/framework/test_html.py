"""What people read: the page, its Markdown twin, the page over all, the pictures."""

import copy
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from social_jepa.experiments.framework import table
from social_jepa.experiments.framework.figure_io import MOST_BYTES, check_name, draw_png, draw_svg
from social_jepa.experiments.framework.html import found, protocol, write_index, write_page

EVIL = '<script>alert("x")</script> & $name `code`'
PLAIN = {
    "name": "tiny", "question": "Why?", "protocol": "First.\n\nSecond\nline.", "quick": False,
    "seeds": [0, 1],
    "config": {"steps": 3}, "notes": ["A note."], "pictures": [], "seconds": {"part": 60.0},
    "flops": {"part": 2e12}, "versions": {"torch": "2"}, "environment": {"cores": 2}, "sources": ["a"],
    "command": "social-jepa experiment tiny",
    "figures": [
        {"name": "one", "group": "g", "value": 0.5, "low": 0.4, "high": 0.6, "seeds": [0.4, 0.6], "null": 0.0,
         "baseline": 0.3, "goal": ">= 0.7", "met": False},
        {"name": "two", "group": "", "value": None, "low": None, "high": None, "seeds": [None, None],
         "null": None, "baseline": None, "goal": None, "met": None},
        {"name": "three", "group": "g", "value": -1e-9, "low": -2e6, "high": 123456.0, "seeds": [0, 0],
         "null": None, "baseline": None, "goal": "< 1", "met": True},
    ],
}  # fmt: skip


def with_evil():
    document = copy.deepcopy(PLAIN)
    for key in ("question", "protocol", "command"):
        document[key] = EVIL
    document["notes"] = [EVIL]
    document["config"] = {EVIL: EVIL}
    document["versions"] = {EVIL: EVIL}
    document["seconds"], document["flops"] = {EVIL: 1.0}, {EVIL: 1.0}
    for figure in document["figures"]:
        figure["name"] = figure["group"] = EVIL
    return document


class Reader(HTMLParser):
    """Collects tags and text, and refuses what is not closed."""

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


@pytest.mark.parametrize("document", [PLAIN, with_evil()], ids=["plain", "evil"])
def test_a_page_is_sound_shows_everything_as_text_and_loads_nothing(tmp_path, document):
    page = Reader(write_page(tmp_path, document).read_text())

    assert "script" not in page.tags
    assert all(link.startswith("data:") or ":" not in link for link in page.links)
    assert document["question"].split()[0] in page.text
    assert "1 of 2" in page.text
    assert "0.400 to 0.600" in page.text


def test_goals_nulls_and_intervals_stand_beside_their_figures(tmp_path):
    text = write_page(tmp_path, PLAIN).read_text()
    rows = {
        cells[0]: cells[1:]
        for cells in (re.findall(r"<td[^>]*>(.*?)</td>", row) for row in text.split("<tr>"))
        if cells
    }

    assert rows["one"] == ["0.500", "0.400 to 0.600", "0", "0.300", "&gt;= 0.7", "no"]
    assert rows["two"] == ["–", "", "", "", "", ""]
    assert text.index(">one<") < text.index(">three<") < text.index(">two<"), "groups stand together"


def test_goals_come_first_then_pictures_then_all_else_and_nothing_twice(tmp_path):
    (tmp_path / "seen.png").write_bytes(b"picture")
    document = PLAIN | {"pictures": ["seen"]}
    twin = table.markdown_page(document)

    for text, picture in ((write_page(tmp_path, document).read_text(), "<figure"), (twin, "![seen]")):
        places = [text.index(what) for what in ("three", picture, "two", "A note.")]
        assert places == sorted(places)
        assert all(text.count(name) == 1 for name in ("three", "two"))
    aimless = [figure | {"goal": None} for figure in PLAIN["figures"]]
    assert table.goals_first(aimless) == (table.groups(aimless), [])


def test_equal_documents_give_equal_pages(tmp_path):
    assert write_page(tmp_path, PLAIN).read_bytes() == write_page(tmp_path, PLAIN).read_bytes()


def test_a_docstring_becomes_paragraphs_lists_and_code():
    text = "A `word` here\nand there.\n\nThree:\n- one\n  goes on\n- <two>\n\nEnd."

    assert protocol(text).replace(' class="lead"', "").replace(' class="notes"', "") == (
        "<p>A <code>word</code> here and there.</p>\n<p>Three:</p>\n"
        "<ul><li>one goes on</li><li>&lt;two&gt;</li></ul>\n<p>End.</p>"
    )


def test_the_markdown_twin_is_one_row_a_figure_with_nothing_that_ends_a_cell():
    before, fence, after = re.split(r"^```(?:sh)?$", table.markdown_page(with_evil()), flags=re.MULTILINE)
    rows = [line for line in (before + after).splitlines() if "script" in line]
    cells = [re.split(r"(?<!\\)\|", row) for row in rows if row.startswith("|")]

    assert len(cells) == 3
    assert {len(row) for row in cells} == {len(table.COLUMNS) + 2}
    assert not any("<script" in row.replace(r"\<", "") for row in rows)
    assert fence.strip() == EVIL, "what stands between fences is shown as it is"
    assert any("**no**" in row for row in rows)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0"), (-1e-9, "-1.00e-09"), (-0.0, "0"), (0.12345, "0.123"),
     (-12.34, "-12.3"), (1234.5, "1,234"), (24.0, "24"), (2e6, "2.00e+06")],
)  # fmt: skip
def test_a_number_reads_in_few_digits(value, text):
    assert table.brief(value) == text


def test_the_page_over_all_experiments_lists_what_lies_there_and_nothing_else(tmp_path):
    for name in ("zeta", "counting", "alpha"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps(PLAIN | {"name": name, "question": EVIL}))
    for name, text in (("list", "[]"), ("cut", '{"name": "cut"'), ("liar", json.dumps(PLAIN))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(text)

    page = Reader(write_index(tmp_path).read_text())

    assert [document["name"] for document in found(tmp_path)] == ["counting", "alpha", "zeta"]
    assert page.links == ["counting/index.html", "alpha/index.html", "zeta/index.html"]
    assert "1 of 2" in page.text
    assert "script" not in page.tags


def cloud(points):
    picture = Figure(figsize=(4, 3))
    rng = np.random.default_rng(0)
    axes = picture.subplots()
    axes.scatter(*rng.standard_normal((2, points)), c=rng.random(points))
    axes.set_title("a <title>")
    return picture


def test_pictures_are_equal_bytes_small_and_sound():
    png, svg = draw_png(cloud(50)), draw_svg(cloud(50))

    assert (png, svg) == (draw_png(cloud(50)), draw_svg(cloud(50)))
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert b"dc:date" not in svg
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.text) == ("PNG", {})
    assert len(draw_svg(cloud(20_000))) < 300_000


def test_a_rich_picture_becomes_small_enough():
    picture = Figure(figsize=(6, 5))
    picture.subplots().imshow(np.random.default_rng(0).random((400, 400, 3)), interpolation="none")

    assert len(draw_png(picture)) < 2 * MOST_BYTES


@pytest.mark.parametrize("name", ["../x", "a b", "", "A", "x.png", "a/b"])
def test_a_picture_s_name_is_the_name_of_a_file(name):
    with pytest.raises(ValueError, match="a picture is named"):
        check_name(name)
