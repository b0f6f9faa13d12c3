"""Laws of settings that are laid over others."""

from dataclasses import dataclass, field

import pytest

from social_jepa.config.overrides import ConfigError, build_config


@dataclass(frozen=True)
class Leaf:
    rate: float = 0.5
    steps: int = 10

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps={self.steps}: at least 1")


@dataclass(frozen=True)
class Branch:
    leaf: Leaf = field(default_factory=Leaf)
    name: str = "plain"


@dataclass(frozen=True)
class Tree:
    branch: Branch = field(default_factory=lambda: Branch(Leaf(rate=0.9), "own"))
    other: Branch = Branch(Leaf(steps=3))


def test_what_is_not_said_stays_as_the_groups_own_defaults_have_it():
    tree = build_config(Tree, {"branch": {"leaf": {"steps": 20}}}, ["other.name=new"])

    assert tree.branch == Branch(Leaf(rate=0.9, steps=20), "own")
    assert tree.other == Branch(Leaf(steps=3), "new")


def test_overrides_lie_over_what_is_given_and_leave_it_as_it_was():
    given = {"branch": {"leaf": {"steps": 20}}}

    tree = build_config(Tree, given, ["branch.leaf.steps=30", "branch.leaf.rate=0.1"])

    assert tree.branch.leaf == Leaf(0.1, 30)
    assert given == {"branch": {"leaf": {"steps": 20}}}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("branch.leaf.stepps=3", "did you mean branch.leaf.steps"),
        ("branch.leaf.steps=0", "branch.leaf: steps=0: at least 1"),
        ("branch.leaf.steps=many", "branch.leaf.steps='many'"),
        ("branch=3", "group of settings"),
        ("branch.name", "key.sub=value"),
    ],
)
def test_what_cannot_work_is_refused_by_name(text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_config(Tree, {}, [text])
