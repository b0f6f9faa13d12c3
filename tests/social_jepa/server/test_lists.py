"""Lists of agents and edges: order, conditions, pages, and what one page costs by the number of agents."""

import contextlib
import itertools
import math
import random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.natural_order import natural_key
from social_jepa.records import replace
from social_jepa.server import snapshots
from social_jepa.server.lists import sorted_by
from social_jepa.server.models import AGENT_KEYS, EDGE_KEYS
from social_jepa.server.snapshots import SnapshotCache
from social_jepa.storage.ledger import Ledger
from tests.support.planted_run import planted_run
from tests.support.servers import client_of

SPARSE = ("negotiation.topology=k_regular(4)",)
KEYS = {"agents": AGENT_KEYS, "edges": EDGE_KEYS}
CONDITIONS = {
    "agents": {"phase": "down", "kind": "jepa", "name_contains": "1"},
    "edges": {"status": "accepted", "agent": "agent-1", "min_r2": "0.3", "max_r2": "0.9"},
}


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with client_of(planted_run(tmp_path_factory.mktemp("lists") / "run", 12, settings=SPARSE)) as client:
        yield client


def read(api, items, **parameters):
    response = api.get(f"/api/{items}", params={"limit": 1000, **parameters})
    assert response.status_code == 200, response.text
    return response.json()["items"]


def comparable(value):
    return natural_key(value) if isinstance(value, str) else value


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize(("items", "key"), [(items, key) for items, keys in KEYS.items() for key in keys])
def test_a_list_is_sorted_and_keeps_its_own_order_among_equals(api, items, key, sign):
    own = read(api, items)
    found = read(api, items, sort=sign + key)

    known = [item for item in own if item[key] not in (None, "")]
    known.sort(key=lambda item: comparable(item[key]), reverse=sign == "-")
    assert found == known + [item for item in own if item[key] in (None, "")]


@given(
    values=st.lists(st.sampled_from([None, math.nan, math.inf, 0.0, -1.5, 2.0])), sort=st.sampled_from("+-")
)
def test_values_that_are_not_finite_come_last_and_nothing_is_lost(values, sort):
    items = [SimpleNamespace(loss=value, number=number) for number, value in enumerate(values)]
    found = sorted_by(items, "loss" if sort == "+" else "-loss")

    finite = [item.loss is not None and math.isfinite(item.loss) for item in found]
    losses = [item.loss for item, known in zip(found, finite, strict=True) if known]
    assert finite == sorted(finite, reverse=True)
    assert losses == sorted(losses, reverse=sort == "-")
    assert sorted(item.number for item in found) == list(range(len(values)))


@pytest.mark.parametrize(
    ("address", "sort"), [("agents", "-loss,name"), ("edges", "status,-r2_shared"), ("edges", "anchors")]
)
@pytest.mark.parametrize("limit", [1, 5, 7])
def test_the_pages_of_a_sorted_list_are_the_whole_list(api, address, sort, limit):
    found, offset = [], 0
    while offset is not None:
        page = api.get(f"/api/{address}", params={"sort": sort, "limit": limit, "offset": offset}).json()
        found, offset = found + page["items"], page["next_offset"]

    assert found == read(api, address, sort=sort)


@pytest.mark.parametrize("items", KEYS)
def test_conditions_commute_and_leave_what_meets_each_of_them(api, items):
    conditions = list(CONDITIONS[items].items())
    for some in itertools.chain.from_iterable(itertools.combinations(conditions, k) for k in (2, 3)):
        shuffled = random.Random(0).sample(some, len(some))
        found = read(api, items, **dict(some))
        assert found == read(api, items, **dict(shuffled))
        each = [read(api, items, **{name: value}) for name, value in some]
        assert found == [item for item in each[0] if all(item in others for others in each[1:])]


def test_edges_of_an_agent_are_those_from_and_to_it(api):
    edges = read(api, "edges")
    assert read(api, "edges", agent="agent-3") == [
        edge for edge in edges if "agent-3" in (edge["source"], edge["target"])
    ]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("agents?sort=color", "sort by up to 3 of name, phase"),
        ("agents?sort=", "sort by up to 3 of"),
        ("agents?sort=name,,step", "sort by up to 3 of"),
        ("agents?sort=--name", "sort by up to 3 of"),
        ("edges?sort=r2,r2,r2,r2", "sort by up to 3 of source, target"),
        ("edges?sort=source;drop", "sort by up to 3 of"),
        ("edges?min_r2=nan", "min_r2"),
        ("edges?max_r2=2", "max_r2"),
        ("edges?status=fine", "status"),
        ("edges?limit=0", "limit"),
        ("edges?offset=-1", "offset"),
        ("agents?name_contains=../etc", "name_contains"),
        ("agents?cursor=5", "cursor: there is no such field"),
        ("quality?limit=1", "limit"),
        ("quality?limit=100000", "limit"),
    ],
)
def test_a_parameter_out_of_range_is_refused_by_name(api, address, reason):
    response = api.get(f"/api/{address}")

    assert response.status_code == 422
    assert reason in response.json()["detail"]


@pytest.mark.parametrize(
    "address", ["edges?agent=agent-99", "edges?source=agent-99", "quality?focus=agent-99"]
)
def test_an_agent_that_does_not_exist_is_not_found(api, address):
    response = api.get(f"/api/{address}")

    assert response.status_code == 404
    assert "agent-99" in response.json()["detail"]


def settle_again(folder, number):
    """Record another round of one edge, with the same map."""
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        edge, maps = ledger.edges()[number]
        ledger.record(edges=[replace(edge, round=1)], maps={(edge.source, edge.target): maps})


@pytest.mark.parametrize("address", ["edges?sort=-r2&limit=3", "quality", "graph"])
def test_what_has_not_changed_is_not_sent_again(tmp_path, monkeypatch, address):
    monkeypatch.setattr(snapshots, "SLOW_SECONDS", math.inf)
    folder = planted_run(tmp_path / "run", 5)
    with client_of(folder) as api:
        first = api.get(f"/api/{address}")
        again = api.get(f"/api/{address}", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        settle_again(folder, 0)
        assert api.get(f"/api/{address}", headers={"If-None-Match": first.headers["etag"]}).status_code == 200


class CountedLedger(Ledger):
    """A ledger that counts the rows that are read."""

    rows = 0

    def _rows(self, sql, values=()):
        found = super()._rows(sql, values)
        CountedLedger.rows += len(found)
        return found


def rows_of_a_page(folder, monkeypatch):
    """Return the number of rows of the ledger that a graph takes at first, and after one more edge each."""
    monkeypatch.setattr(snapshots, "Ledger", CountedLedger)
    monkeypatch.setattr(snapshots, "SLOW_SECONDS", math.inf)
    found = []
    with contextlib.closing(SnapshotCache(folder)) as cache:
        for number in range(3):
            CountedLedger.rows = 0
            cache.current()
            found.append(CountedLedger.rows)
            settle_again(folder, number)
    return found


def test_the_rows_that_a_page_takes_do_not_grow_with_the_agents_once_the_graph_is_read(tmp_path, monkeypatch):
    few, many = (
        rows_of_a_page(planted_run(tmp_path / str(count), count, settings=SPARSE), monkeypatch)
        for count in (8, 40)
    )

    assert few[1:] == many[1:]
    assert few[1] < few[0] < many[0]
