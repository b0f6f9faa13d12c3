import pytest
from hypothesis import given
from hypothesis import strategies as st

from social_jepa.runtime.capacity import Node, Reservation, capacity, choose_node, find_shortage, room


def node(name, cpus=4.0, gpus=0.0, free_cpus=None, free_gpus=None):
    return Node(
        name,
        name,
        cpus,
        gpus,
        cpus if free_cpus is None else free_cpus,
        gpus if free_gpus is None else free_gpus,
    )


@pytest.mark.parametrize(
    ("gpus", "share", "fits"),
    [
        (2, 1, 2),
        (2, 0.6, 2),
        (2, 0.5, 4),
        (2, 0.3333, 6),
        (2, 0.4, 4),
        (3, 2, 1),
        (2, 0, 1000000),
        (0, 0.5, 0),
    ],
)
def test_a_share_of_a_gpu_comes_from_one_gpu_and_whole_ones_from_one_node(gpus, share, fits):
    assert room(node("a", cpus=8, gpus=gpus), 0, share) == fits


@pytest.mark.parametrize(
    ("free", "share", "fits"),
    [(0.8, 0.6, 0), (1.4, 0.6, 1), (0.5, 0.5, 1), (1.0, 0.5, 2), (2.0, 0.6, 2), (1.0, 1, 1), (0.9, 1, 0)],
)
def test_what_is_left_of_several_gpus_cannot_be_added_up(free, share, fits):
    assert room(node("a", gpus=2, free_gpus=free), 0, share, free=True) == fits


def test_cpus_of_two_nodes_cannot_be_added_up():
    nodes = [node("a", cpus=1), node("b", cpus=1)]

    assert capacity(nodes, 2, 0) == 0
    assert capacity(nodes, 0.3333, 0) == 6
    assert str(find_shortage(nodes, 2, 0)) == "2 CPUs on one node: no node has more than 1"
    assert find_shortage(nodes, 2, 0).hopeless


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus", "text"),
    [
        ([node("a")], 1, 0, None),
        ([node("a", free_cpus=0.5)], 0.5, 0, None),
        ([node("a", free_cpus=0.5)], 1, 0, "1 CPU: a has 0.5 of 4 free"),
        ([node("a", free_cpus=0)], 2, 0, "2 CPUs on one node: a has 0 of 4 free"),
        ([node("a", gpus=2, free_gpus=0)], 1, 1, "1 GPU: a has 0 of 2 free"),
        ([node("a", free_cpus=1), node("b", free_cpus=1)], 2, 0,
         "2 CPUs on one node: a has 1 of 4 free, b has 1 of 4 free"),
        ([node("a", gpus=2, free_gpus=0.8)], 1, 0.6,
         "0.6 GPU: a has 0.8 of 2 free, and a share comes from one GPU"),
        ([node("a", gpus=2), node("b", gpus=2)], 1, 3, "3 GPUs on one node: no node has more than 2"),
        ([node("a")], 1, 0.5, "0.5 GPU: no node has more than 0"),
        ([node("a", gpus=1), node("b", gpus=0)], 1, 1, None),
        ([], 1, 0, "1 CPU: no node has more than 0"),
    ],
)  # fmt: skip
def test_a_shortage_names_the_resource_and_every_node(nodes, cpus, gpus, text):
    found = find_shortage(nodes, cpus, gpus)

    assert (found if text is None else str(found)) == text


def reserved(*nodes, cpus=0.5, gpus=0.0):
    return [Reservation(name, cpus, gpus) for name in nodes]


def test_each_agent_goes_to_the_node_with_the_fewest_agents():
    nodes, placed = [node("a", cpus=2), node("b", cpus=2), node("c", cpus=2)], []
    for _ in range(6):
        placed.append(choose_node(nodes, reserved(*placed), 0.5, 0))

    assert sorted(placed) == ["a", "a", "b", "b", "c", "c"]
    assert sorted(placed[:3]) == ["a", "b", "c"]


def test_a_node_without_room_is_not_chosen_and_a_full_cluster_leaves_the_choice_to_ray():
    full, free = node("full", free_cpus=0), node("free")

    assert choose_node([full, free], reserved("free", "free"), 1, 0) == "free"
    assert choose_node([full], [], 1, 0) == ""
    assert choose_node([node("a", cpus=1)], reserved("a", cpus=1), 1, 0) == ""  # it is about to start there


@given(st.integers(0, 3), st.booleans())
def test_what_ray_has_not_counted_yet_is_counted_once(seen, known):
    """Of three agents that have started, Ray has counted some; the fourth fits, and a fifth does not."""
    here = node("a", cpus=2, free_cpus=2 - 0.5 * seen)
    names = ["a" if known else ""] * 3

    assert choose_node([here], reserved(*names), 0.5, 0) == "a"
    assert choose_node([here], reserved(*names, "a"), 0.5, 0) == ""


@given(st.integers(0, 4))
def test_a_process_that_holds_its_share_while_it_starts_waits_for_nothing(seen):
    here = node("a", cpus=2, free_cpus=2 - 0.5 * seen)

    assert find_shortage([here], 0.5, 0, reserved("a", "a", "")) is None
    assert (find_shortage([here], 0.5, 0, reserved("a", "a", "a", "a")) is None) == (seen < 4)
    assert find_shortage([node("a", cpus=2, free_cpus=0)], 0.5, 0, reserved("a", "a")) is not None


def test_a_share_of_a_gpu_that_a_starting_process_holds_is_counted_once():
    here = node("a", gpus=1, free_gpus=0)
    assert find_shortage([here], 0, 0.5, reserved("a", cpus=0, gpus=0.5)) is None
    assert str(find_shortage([here], 0, 0.5, reserved("a", "a", cpus=0, gpus=0.5))).startswith("0.5 GPU")


def test_an_agent_that_needs_a_gpu_goes_to_a_node_with_one():
    assert choose_node([node("a", cpus=64), node("b", gpus=1)], [], 1, 1) == "b"
