import math
from dataclasses import fields

import pytest

from agents.common.config_error import ConfigError
from agents.protocol.settings import NegotiationConfig

BAD = [
    ("anchors", 3),
    ("anchors", 1025),
    ("heldout", 3),
    ("heldout", 1025),
    ("pool_ticks", 65537),
    ("pool_ticks", 511),
    ("pool_stride", 0),
    ("ridge", 0.0),
    ("ridge", math.nan),
    ("min_r2_margin", -0.1),
    ("min_r2_margin", math.nan),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_value_out_of_range_is_refused_by_the_name_of_its_setting(name, value):
    with pytest.raises(ConfigError, match=str(value)) as refusal:
        NegotiationConfig(**{name: value})
    assert refusal.value.setting == ("heldout" if (name, value) == ("pool_ticks", 511) else name)


def test_the_default_settings_are_valid_and_frozen():
    settings = NegotiationConfig()
    for field in fields(settings):
        with pytest.raises(AttributeError):
            setattr(settings, field.name, getattr(settings, field.name))
