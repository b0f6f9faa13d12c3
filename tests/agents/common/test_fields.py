import math
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated

import pytest
from msgspec import Meta

from agents.common.config_error import ConfigError
from agents.common.fields import Count, Positive, Share, check_fields, one_of


@dataclass(frozen=True)
class Example:
    count: Count = 1
    positive: Positive = 1.0
    share: Share = 0.5
    bounded: Annotated[int, Meta(ge=4, le=8)] = 5
    fraction: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    part: Annotated[float, Meta(gt=0, le=1)] = 0.5
    color: Annotated[str, one_of("red", "green")] = "red"
    free: float = 0.0


@dataclass(frozen=True)
class Derived(Example):
    depth: Count = 2


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("count", 0, "count=0: at least 1"),
        ("positive", 0.0, "positive=0.0: above 0"),
        ("positive", math.nan, "positive=nan: above 0"),
        ("positive", math.inf, "positive=inf: must be finite, above 0"),
        ("share", 1.5, "share=1.5: choose from 0 to 1"),
        ("share", math.nan, "share=nan: choose from 0 to 1"),
        ("bounded", 3, "bounded=3: choose from 4 to 8"),
        ("bounded", 9, "bounded=9: choose from 4 to 8"),
        ("fraction", 1.0, "fraction=1.0: at least 0 and below 1"),
        ("part", 0.0, "part=0.0: above 0 and at most 1"),
        ("color", "blue", "color='blue': choose one of red, green"),
    ],
)
def test_a_value_outside_its_annotated_range_is_refused_by_name(name, value, problem):
    with pytest.raises(ConfigError, match=rf"^{problem}$"):
        check_fields(Derived(**{name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [("count", 1), ("share", 0), ("share", 1), ("bounded", 8), ("fraction", 0.0), ("part", 1)],
)
def test_a_bound_itself_is_accepted_where_the_range_includes_it(name, value):
    check_fields(Example(**{name: value}))


def test_fields_without_a_range_are_not_checked():
    check_fields(Example(free=math.nan))


def test_ranges_of_derived_fields_are_checked():
    with pytest.raises(ConfigError, match=r"^depth=0: at least 1"):
        check_fields(Derived(depth=0))


def test_reading_settings_loads_neither_torch_nor_ray():
    code = (
        "import sys, agents.common.fields, agents.models.settings, agents.training.settings; "
        "sys.exit(bool({'torch', 'ray', 'numpy', 'pyglet'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
