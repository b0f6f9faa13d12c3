import contextlib
import dataclasses
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from html.parser import HTMLParser
from pathlib import Path

import pytest

from alignment.status import Status
from env.camera import Pose
from social_jepa.graph.results import load_results
from social_jepa.graph.summary import summarize
from social_jepa.records import BudgetSummary, replace
from social_jepa.report import page as report_page
from social_jepa.report import plots, tables
from social_jepa.report.graph_svg import AgentCard, lay_out
from social_jepa.report.page import write_report
from social_jepa.runtime.membership import Membership
from social_jepa.storage.ledger import Ledger
from tests.support.command import call
from tests.support.servers import copy_run

ROOT = Path(__file__).resolve().parents[3]
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """The elements and the text of a page; fails if an element is not closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self._open = [], "", []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag != "li":
            while self._open[-1] == "li":
                self._open.pop()
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, name):
        return [attributes[name] for _, attributes in self.elements if name in attributes]


@pytest.fixture(scope="module")
def text(small_run):
    return write_report(small_run).read_text()


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_the_page_is_written_to_the_run_folder_without_temporary_files(small_run, text):
    assert small_run.folder.report_file.read_text() == text
    assert not list(small_run.folder.path.glob(".*.tmp"))


def test_the_page_needs_no_network(text, page):
    links = page.all("src") + page.all("href") + page.all("xlink:href")

    assert links
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in links)
    assert not re.search(r"@import|url\((?!#)|<link|<iframe|fetch\(", text)


def test_all_ids_are_unique_and_all_references_resolve(text, page):
    names = page.all("id")
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | {
        link[1:] for link in page.all("xlink:href") if link[0] == "#"
    }

    assert len(names) == len(set(names))
    assert used <= set(names)


def test_writing_the_page_again_gives_the_same_bytes(small_run, text):
    assert write_report(small_run).read_text() == text


def test_every_agent_and_every_edge_is_drawn(small_run, page):
    drawn = [
        (attributes["data-from"], attributes["data-to"]) for tag, attributes in page.elements
        if tag == "g" and "data-from" in attributes
    ]  # fmt: skip

    assert page.all("data-agent") == [agent.name for agent in small_run.document.agents]
    assert sorted(drawn) == sorted((edge.source, edge.target) for edge in small_run.document.edges)


def test_the_page_has_the_reason_of_every_edge_that_was_not_accepted(small_run, page):
    sentences = [edge.reason for edge in small_run.document.edges if edge.status != "accepted"]

    assert len(sentences) == 6
    assert all(sentence in page.text for sentence in sentences)


def test_all_cameras_have_views_of_the_same_four_ticks(page):
    pictures = [attributes["alt"] for tag, attributes in page.elements if tag == "img"]

    assert len(pictures) == 4 * 4
    assert len({caption.split(" at ")[1] for caption in pictures}) == 4


def test_the_headline_counts_pairs_by_r2_and_names_the_worst(small_run, page):
    summary = summarize(small_run.document)

    assert summary.headline() in page.text
    assert f"{summary.high} of 12" in page.text
    assert (
        f"worst {summary.worst.r2_shared:.2f}, {summary.worst.source} → {summary.worst.target}" in page.text
    )


def test_the_tiles_of_directions_and_chance_are_those_of_the_summary(small_run):
    first, *others = small_run.document.edges
    low = replace(
        first, status=Status.REFUSED, reason="low", r2_shared=0.01, shared_dim=2, null_correlation=0.97
    )
    results = dataclasses.replace(small_run, document=replace(small_run.document, edges=(low, *others)))
    summary = summarize(results.document)
    text = Page(write_report(results).read_text()).text
    write_report(small_run)

    assert f"chance correlates up to {summary.null_highest:.2f}" in text
    assert f"{summary.shared_dim:.1f}directions shared, mean" in text
    assert summary.null_highest < 0.97


@pytest.mark.parametrize("content", ["{", "[1, 2]", None])
def test_versions_that_cannot_be_read_are_a_note(small_run, tmp_path, content):
    folder = copy_run(small_run.folder, tmp_path / "run")
    file = folder.path / "versions.json"
    file.unlink(missing_ok=True)
    file.mkdir() if content is None else file.write_text(content)

    said = call("report", "--run", folder.path)

    assert (said.status, said.err) == (0, "")
    assert "versions.json cannot be read: " in Page(folder.report_file.read_text()).text


def test_the_loss_of_a_long_training_is_drawn_at_its_own_steps(small_run):
    names = [agent.name for agent in small_run.document.agents]
    inks = dict.fromkeys(names, "s0")
    whole, *_ = small_run.document.agents
    cut = replace(whole, steps=len(whole.losses) + 90_000)

    assert "to last tenth of training" in plots.loss_plot([whole], inks)
    found = plots.loss_plot([cut], inks)
    assert f"to last tenth of the newest {len(cut.losses):,} steps" in found
    ticks = [int(text) for text in re.findall(r">(\d+)</text>", found)]
    assert max(ticks) > 90_000
    assert 0 not in ticks


def test_plots_use_the_colors_of_the_page(text):
    assert (
        text.count('<figure class="plot">') == 1 + 4 + 3 + 2
    )  # loss, cores, maps into each agent that accepted one, costs
    assert "var(--s0)" in text
    assert "#0102" not in text
    assert "font-family: inherit" in text


def test_text_of_agents_is_escaped(small_run):
    hostile = "<script>alert('&')</script>"
    document = replace(
        small_run.document,
        refused_messages=(hostile,),
        edges=tuple(replace(edge, reason=hostile) for edge in small_run.document.edges),
        agents=tuple(replace(agent, kind=hostile, device=hostile) for agent in small_run.document.agents),
    )
    text = write_report(dataclasses.replace(small_run, document=document)).read_text()
    write_report(small_run)

    assert hostile not in text
    assert hostile in Page(text).text
    assert text.count("<script>") == 1


def test_a_run_without_accepted_edges_has_a_page(small_run):
    refused = next(edge for edge in small_run.document.edges if edge.status == "refused")
    edges = tuple(
        replace(refused, source=edge.source, target=edge.target) for edge in small_run.document.edges
    )
    document = replace(small_run.document, edges=edges, cycles=(), budget=())
    page = Page(write_report(dataclasses.replace(small_run, document=document)).read_text())
    write_report(small_run)

    assert "None of the 12 ordered pairs" in page.text
    assert "No edge compared anchors" in page.text


@pytest.fixture
def changed(small_run, tmp_path):
    """A copy of the run, and the membership with which a test changes it."""
    folder = copy_run(small_run.folder, tmp_path)
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        yield folder, Membership(folder.config(), folder, ledger, online=True)


def page_of(folder):
    return Page(write_report(load_results(folder)).read_text())


def join(membership, name):
    membership.propose(name=name)
    membership.next_incarnation(name)
    membership.admit(name, 100)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_agents_that_learn_a_new_view_are_on_the_page(changed, count):
    folder, membership = changed
    for index in range(count):
        membership.move(f"agent-{index}", "-4.8,3.2,0,0,-35", next_tick=100)
    page = page_of(folder)

    assert "not published a model of the current view yet" in page.text
    assert page.text.count("no model of its view yet") == count
    assert page.all("data-agent") == ["agent-0", "agent-1", "agent-2", "agent-3"]


def test_an_agent_that_has_just_joined_is_on_the_page(changed):
    folder, membership = changed
    join(membership, "guest")
    page = page_of(folder)

    assert "20 ordered pairs of 5 agents" in page.text
    assert "guest has not published a model of the current view yet" in page.text


def test_a_single_agent_has_a_page(changed):
    folder, membership = changed
    for index in range(1, 4):
        membership.remove(f"agent-{index}", 100)

    assert "there is no pair to translate between" in page_of(folder).text


def test_agents_whose_anchors_are_missing_have_a_page(changed):
    folder, _ = changed
    (folder.agent("agent-0") / "anchors.safetensors").unlink()

    assert "2 cycles of accepted edges cannot be scored" in page_of(folder).text


def test_the_page_of_a_running_simulation_names_the_agents_that_distilled(small_run):
    first, student, *others = small_run.document.agents
    student = replace(student, losses=(), distill_frames=384)
    document = replace(small_run.document, agents=(first, student, *others), seconds=None)
    text = Page(write_report(dataclasses.replace(small_run, document=document)).read_text()).text
    alone = Page(write_report(small_run).read_text()).text

    assert f"Of these, {student.name} distilled from a peer’s embeddings first" in text
    assert "a running simulation" in text
    assert "distilled" not in alone
    assert "from start to graph" in alone


def test_a_page_that_cannot_be_rendered_leaves_the_old_one(small_run, text):
    broken = dataclasses.replace(small_run, document=replace(small_run.document, edges=None))

    with pytest.raises(TypeError):
        write_report(broken)
    assert small_run.folder.report_file.read_text() == text


def test_without_a_renderer_the_page_has_the_reason():
    assert "no OpenGL &lt;here&gt;" in tables.pictures((0, 1), {}, "no OpenGL <here>")


@pytest.mark.parametrize("count", [2, 5, 8, 20])
def test_cards_of_the_graph_never_overlap_even_for_equal_poses(count):
    pose = Pose(4.8, 3.2, 0.0, 180.0, -35.0)
    layout = lay_out([AgentCard(f"agent-{i}", pose) for i in range(count)], 8.0)
    cards = [layout.card(name) for name in layout.cards]
    overlapping = [
        (a, b) for i, a in enumerate(cards) for b in cards[:i]
        if min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])
    ]  # fmt: skip

    assert not overlapping
    assert all(left >= 0 and top >= 0 and right <= 760 for left, top, right, _ in cards)


def test_points_outside_of_a_plot_are_counted():
    rows = [(2, -3.0, -7.5), (8, 0.8, 0.5), (64, 0.9, 0.7)]
    budget = [
        BudgetSummary(pairs=pairs, method="ridge", r2_mean=mean, r2_min=worst) for pairs, mean, worst in rows
    ]

    assert (
        "2 points lie below −0.2 and are cut off; the lowest is −7.50 (ridge, 2 pairs)"
        in plots.budget_plot(budget)
    )
    assert "cut off" not in plots.budget_plot(budget[1:])


def test_sizes_have_a_suitable_unit():
    assert [tables.in_bytes(size) for size in (7, 999, 49_954, 1_540_000)] == [
        "7 B",
        "999 B",
        "50 kB",
        "1.54 MB",
    ]


def test_the_command_line_starts_without_matplotlib():
    code = "import sys, social_jepa.cli.app; sys.exit('matplotlib' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_every_template_style_sheet_and_schema_is_installed():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    wanted = [f"{name.replace('.', '/')}/{pattern}" for name, found in patterns.items() for pattern in found]
    files = [
        path.relative_to(ROOT).as_posix() for path in (ROOT / "social_jepa").rglob("*") if path.is_file()
    ]
    data = [name for name in files if not name.endswith((".py", ".pyc"))]

    assert [name for name in data if not any(fnmatch(name, pattern) for pattern in wanted)] == []


def test_drawings_and_plots_of_many_agents_are_of_the_first_and_tables_of_all(
    small_run, text, tmp_path, monkeypatch
):
    folder = copy_run(small_run.folder, tmp_path / "run")
    monkeypatch.setattr(report_page, "MAX_SHOWN", 2)
    results = load_results(folder)
    some = write_report(results).read_text()
    found = Page(some)

    assert "of the first 2 of 4 agents" in found.text
    assert set(found.all("data-from")) == {"agent-0", "agent-1"}
    assert tables.edges_table(results.document.edges) in some
    assert "are of the first" not in text
