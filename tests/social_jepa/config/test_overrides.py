"""Overrides of nested settings."""

from dataclasses import dataclass, field

import pytest

from agents.common.config_error import ConfigError
from social_jepa.config.overrides import build_config


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


def test_a_setting_that_is_not_given_keeps_the_default_of_its_group():
    tree = build_config(Tree, {"branch": {"leaf": {"steps": 20}}}, ["other.name=new"])

    assert tree.branch == Branch(Leaf(rate=0.9, steps=20), "own")
    assert tree.other == Branch(Leaf(steps=3), "new")


def test_overrides_replace_given_values_without_changing_the_callers_dict():
    given = {"branch": {"leaf": {"steps": 20}}}

    tree = build_config(Tree, given, ["branch.leaf.steps=30", "branch.leaf.rate=0.1"])

    assert tree.branch.leaf == Leaf(0.1, 30)
    assert given == {"branch": {"leaf": {"steps": 20}}}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("branch.leaf.stepps=3", "branch.leaf.stepps: no such setting; did you mean branch.leaf.steps"),
        ("branch.leaf.steps=0", "^branch.leaf: steps=0: at least 1"),
        ("branch.leaf.steps=many", "branch.leaf.steps='many'"),
        ("branch=3", "group of settings"),
        ("branch.name", "key.sub=value"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_name(text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_config(Tree, {}, [text])


@dataclass(frozen=True)
class Named:
    low: int = 1
    high: int = 2

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ConfigError("at most high", "low", self.low)


@dataclass(frozen=True)
class Root:
    named: Named = field(default_factory=Named)


def test_an_error_carries_the_full_name_of_the_setting_its_value_and_the_reason():
    with pytest.raises(ConfigError) as refusal:
        build_config(Root, {}, ["named.low=3"])

    error = refusal.value
    assert (error.setting, error.value, error.reason) == ("named.low", 3, "at most high")


def test_an_unknown_setting_suggests_the_nearest_name():
    with pytest.raises(ConfigError) as refusal:
        build_config(Root, {}, ["named.lw=3"])

    assert (refusal.value.setting, refusal.value.suggestion) == ("named.lw", "did you mean named.low?")


@pytest.mark.parametrize("text", ["2024-05-01", "1_000", "1e3", "true", "07:32", "0x10"])
def test_a_text_that_looks_like_a_number_or_a_date_stays_as_it_was_typed(text):
    assert build_config(Tree, {}, [f"other.name={text}"]).other.name == text
    assert build_config(Tree, {}, [f'other.name="{text}"']).other.name == text


def test_numbers_are_numbers_where_the_setting_is_one():
    assert build_config(Tree, {}, ["other.leaf.steps=1_000", "other.leaf.rate=1e-3"]).other.leaf == Leaf(
        0.001, 1000
    )
    with pytest.raises(ConfigError, match=r"other\.leaf\.steps"):
        build_config(Tree, {}, ["other.leaf.steps=2024-05-01"])
    with pytest.raises(ConfigError, match="a group of settings"):
        build_config(Tree, {}, ["other.leaf=3"])
    with pytest.raises(ConfigError, match=r"\{'a': 3\}"):
        build_config(Tree, {}, ["other.leaf.steps.a=3"])
