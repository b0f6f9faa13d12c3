"""A run whose frames come from a source that ends and knows no state, with one agent that never trains."""

import contextlib
import time

import numpy as np
import pytest
from rich.console import Console

from agents.agent import Agent
from agents.common.config_error import ConfigError
from agents.drift import measure_drift
from agents.model_check import check_model
from agents.restoring import restore_agent
from alignment.status import Status
from env.camera import Pose
from env.scene import BodyEvent, Scene
from social_jepa.cli.status_table import make_status
from social_jepa.config.run_config import load_config
from social_jepa.graph.query import query
from social_jepa.graph.query_errors import TickRangeError
from social_jepa.graph.results import load_results
from social_jepa.records import replace
from social_jepa.report.page import write_report
from social_jepa.runtime.batch_run import BatchRun
from social_jepa.runtime.console_progress import ProgressDisplay
from social_jepa.runtime.ledger_writer import LedgerWriter
from social_jepa.runtime.members import new_member
from social_jepa.runtime.membership import Membership, record_start
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import create
from tests.conftest import report_of
from tests.support.command import TINY, call
from tests.support.own_source import LongSquare
from tests.support.servers import client_of, running
from tests.support.statuses import AGENT
from tests.support.swarm import connect_protocols, publish_all

FROZEN = "frozen:tests.support.own_source:Cells"
SOURCE = (
    *TINY, "scene.renderer=miniworld", "scene.source=tests.support.own_source:LongSquare",
    'scene.frames.views=["whole", "red"]', f'agents.kinds=["jepa", "{FROZEN}"]', "training.segments=48",
    "training.steps=120", "training.replay_ticks=4000",
)  # fmt: skip


@pytest.fixture(scope="module")
def agents_and_results(tmp_path_factory):
    began, config = time.perf_counter(), load_config(overrides=SOURCE)
    folder = create(config, tmp_path_factory.mktemp("source") / "run")
    run = BatchRun(config, folder, ProgressDisplay(Console(quiet=True)), seconds={"negotiate": 0.0})
    with contextlib.closing(Ledger(folder.ledger_file, create=True)) as ledger:
        record_start(ledger, config, folder, "started", online=False)
        membership = Membership(config, folder, ledger, online=False)
        writer = LedgerWriter(config, folder, ledger)
        agents = {name: Agent(membership.spec(name, threads=1)) for name in membership.members}
        for name, agent in agents.items():
            membership.next_incarnation(name)
            check_model(agent)
            assert agent.train()
            agent.publish()
        protocols, transport = connect_protocols(agents)
        publish_all(protocols, {name: agent.negotiation for name, agent in agents.items()})
        transport.run()
        for name, agent in agents.items():
            writer.write(name, membership.members, report_of(agent, protocols[name]))
        run.collect(ledger, began)
    return agents, load_results(folder)


def test_agents_see_their_views_and_score_maps_on_ticks_that_training_did_not_touch(agents_and_results):
    _, results = agents_and_results
    assert [member.pose for member in results.members] == ["view=0", "view=1"]
    assert all(edge.status is Status.ACCEPTED and edge.r2_shared > 0.5 for edge in results.document.edges)
    for agent in results.document.agents:
        used = (agent.scored_ticks, agent.fitted_ticks, agent.trained_ticks)
        assert used[0].stop < used[1].start < used[1].stop < used[2].start < used[2].stop <= LongSquare.ticks
        assert agent.probe_r2 is None


def test_a_frozen_agent_publishes_without_a_step_and_its_weights_stay(agents_and_results):
    agents, results = agents_and_results
    frozen = results.agent("agent-1")

    assert (frozen.steps, frozen.frames, frozen.losses, frozen.dim) == (0, 0, (), 4)
    assert results.agent("agent-0").steps == 120
    assert agents["agent-1"].progress().step == agents["agent-1"].progress().steps == 0


def test_a_frozen_agent_resumes_from_its_folder(agents_and_results):
    agent = agents_and_results[0]["agent-1"]
    resumed = Agent(agent.spec)
    restore_agent(resumed)

    assert resumed.trainer.finished
    assert resumed.published.snapshot.peer_info == agent.published.snapshot.peer_info
    ticks = range(9)
    assert (resumed.encode_ticks(ticks) == agent.encode_ticks(ticks)).all()


def test_online_training_stays_within_the_source(agents_and_results):
    agent = agents_and_results[0]["agent-0"]
    online = Agent(agent.spec)
    restore_agent(online)
    online.trainer.step += 10**6

    assert online.trainer.record(lambda: False)
    assert measure_drift(online) < 1
    online.set_body_events([BodyEvent(10**6, "agent-2", Pose.of_view(0))])
    assert online.has_seen_all_bodies  # a source shows none: the agent rests as soon as it has learned
    assert len(online.trainer.replay_buffer) == agent.spec.training.replay_ticks
    assert online.trainer.replay_buffer.ticks.stop > agent.trainer.replay_buffer.ticks.stop


def test_the_report_has_no_room_and_the_tables_no_probe(agents_and_results):
    results = agents_and_results[1]
    page = write_report(results).read_text()

    assert 'aria-label="The translation graph"' in page
    assert 'class="room"' not in page
    assert 'class="view"' not in page
    assert "view 1" in page
    assert "data:image/png" in page
    said = call("graph", "--run", results.folder.path)
    assert said.status == 0
    assert "view 0" in said.out


def test_a_query_reads_any_tick_of_the_source_and_refuses_others(agents_and_results):
    results = agents_and_results[1]
    last = LongSquare.ticks - 1
    assert query(results, "agent-0", "agent-1", tick=last).tick == last
    with pytest.raises(TickRangeError, match=f"to {last}"):
        query(results, "agent-0", "agent-1", tick=LongSquare.ticks)


def test_the_server_draws_views_and_refuses_other_ticks(agents_and_results):
    with client_of(agents_and_results[1].folder) as client:
        assert client.get("/api/status").json()["ticks"] == LongSquare.ticks
        for path in ("agents/agent-1/view.png", "graph.svg"):
            assert client.get(f"/api/{path}?tick=7").status_code == 200
            refused = client.get(f"/api/{path}?tick={LongSquare.ticks}")
            assert 400 <= refused.status_code < 500
            assert f"to {LongSquare.ticks - 1}" in refused.text


def test_the_page_speaks_of_views_and_not_of_a_room(agents_and_results, browser):
    context = browser.new_context()
    with running(agents_and_results[1].folder) as address:
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector("#graph svg g.edge", state="attached")
        page.wait_for_selector("#losses figure")

        assert "meters" not in page.inner_text("main")
        assert "view=0 to view=1" in page.inner_text("#pose-help")
        assert page.get_attribute("#add [name=pose]", "placeholder") == "view=0"
        assert page.locator("svg.plan:visible").count() == 0
        assert page.locator("#add [name=kind] option:disabled").all_text_contents() == ["seq_jepa", "p_jepa"]
        assert page.locator("#losses figure").evaluate_all("all => all.map(e => e.dataset.name)") == [
            "agent-0"
        ]
        assert page.locator('[aria-label="Pause training of agent-1"]').is_hidden()  # it is frozen
        context.close()


def test_a_joiner_gets_a_view_and_a_frozen_one_no_teacher(agents_and_results):
    results = agents_and_results[1]
    config, names = results.config, [member.name for member in results.members]

    assert new_member(config, results.members, names).pose == "view=0"
    assert new_member(config, results.members, names, pose="view=1").pose == "view=1"
    with pytest.raises(ValueError, match="choose view=0 to view=1"):
        new_member(config, results.members, names, pose="0,3.2,4.8,90,-35")
    with pytest.raises(ConfigError, match="does not learn from a teacher"):
        new_member(config, results.members, names, kind=FROZEN, teacher="agent-0")


def test_a_source_that_is_too_short_is_refused_with_the_settings_to_lower():
    with pytest.raises(ConfigError) as refusal:
        load_config(overrides=[*SOURCE, "training.replay_ticks=8192"])
    text = str(refusal.value)
    assert "and the source of frames has 7,500" in text
    room = int(text.split("lower training.replay_ticks to ")[1].split()[0])
    load_config(overrides=[*SOURCE, f"training.replay_ticks={room}"])
    with pytest.raises(ConfigError, match=f"replay_ticks to {room} "):
        load_config(overrides=[*SOURCE, f"training.replay_ticks={room + 1}"])
    with pytest.raises(ConfigError, match="lower negotiation"):
        load_config(overrides=[*SOURCE, "negotiation.pool_ticks=1024"])


def test_settings_of_a_run_hold_the_measured_memory(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, size=(3600, 16, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "noise.npy", frames)
    source = ("scene.source=array", f"scene.frames.path={tmp_path / 'noise.npy'}")
    config = load_config(overrides=[*TINY, "scene.frame_size=16", *source])

    assert 1 <= config.scene.frames.memory <= 8
    assert config.scene.decorrelation_ticks == config.scene.frames.memory
    (tmp_path / "noise.npy").rename(tmp_path / "other.npy")
    with pytest.raises(ConfigError, match="there is no file"):
        load_config(overrides=[*TINY, "scene.frame_size=32", *source])


def test_the_state_of_a_source_is_no_input_of_agents(agents_and_results):
    scene = Scene(agents_and_results[1].config.scene, 0)

    assert scene.state(5).factors.size == 0


def test_the_status_shows_that_a_frozen_agent_does_not_train():
    table = make_status([replace(AGENT, kind=FROZEN)])

    assert list(table.columns[2].cells) == ["frozen"]
