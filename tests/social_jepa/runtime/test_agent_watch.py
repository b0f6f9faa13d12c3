"""What the watch of a simulation sends to agents."""

import contextlib
from types import SimpleNamespace

import pytest

from social_jepa.config.run_config import load_config
from social_jepa.runtime.agent_watch import AgentWatch
from social_jepa.runtime.membership import Membership
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import create
from tests.support.command import TINY

KEY = b"k" * 32
COUNT, DEGREE = 30, 4


class Sent(dict):
    """The peer lists that handles were sent, by name; makes those handles, which stand for Ray's."""

    def handle(self, name):
        return SimpleNamespace(
            update_peers=SimpleNamespace(remote=lambda _, found: self.__setitem__(name, found))
        )


@pytest.fixture
def watched(tmp_path, request):
    """The watch, the membership and the lists sent by a simulation of agents that have all registered."""
    settings = (f"agents.count={COUNT}", f"negotiation.topology=k_regular({DEGREE})", request.param)
    config = load_config(overrides=[*TINY, *settings])
    folder, sent = create(config, tmp_path / "run"), Sent()
    with contextlib.closing(Ledger(folder.ledger_file, create=True)) as ledger:
        membership = Membership(config, folder, ledger, online=True)
        watch = AgentWatch(membership, None, ledger, None)
        for name in membership.members:
            enroll(membership, watch, sent, name)
        watch.broadcast_peers()
        sent.clear()
        yield watch, membership, sent


def enroll(membership, watch, sent, name):
    """Let an agent register, as its process does."""
    watch.handles[name] = sent.handle(name)
    membership.next_incarnation(name)
    membership.set_public_key(name, KEY)
    return watch.peer_list(name)


def join(watched):
    watch, membership, sent = watched
    name = membership.propose().name
    enroll(membership, watch, sent, name)
    watch.broadcast_peers(but=name)
    membership.admit(name, 0)
    watch.broadcast_peers()
    return name


def peers(watch, membership):
    return {name: membership.peer_list(watch.handles, name).peers for name in membership.members}


@pytest.mark.parametrize("watched", ["scene.bodies=false"], indirect=True)
def test_a_join_a_return_and_a_leave_are_told_to_those_agents_alone_whose_peers_change(watched):
    watch, membership, sent = watched
    watch.broadcast_peers()
    assert sent == {}

    before = peers(watch, membership)
    name = join(watched)
    after = peers(watch, membership)
    changed = {each for each in before if before[each] != after[each]}
    assert set(sent) == changed
    assert 2 <= len(changed) <= 3 * DEGREE
    assert {each: found.peers for each, found in sent.items()} == {each: after[each] for each in changed}

    sent.clear()
    enroll(membership, watch, sent, name)
    watch.broadcast_peers(but=name)
    assert set(sent) == set(after[name])

    sent.clear()
    membership.remove(name, 0)
    del watch.handles[name]
    watch.broadcast_peers()
    assert set(after[name]) <= set(sent)
    assert len(sent) <= 3 * DEGREE
    assert peers(watch, membership) == before


@pytest.mark.parametrize("watched", ["scene.bodies=true"], indirect=True)
def test_a_body_that_all_cameras_see_is_told_to_all(watched):
    _, membership, sent = watched
    name = join(watched)

    assert set(sent) == set(membership.members)
    assert {found.body_events[-1].name for found in sent.values()} == {name}
