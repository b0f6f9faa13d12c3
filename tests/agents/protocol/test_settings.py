import math
from dataclasses import fields

import pytest

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
def test_a_value_that_cannot_work_is_refused_with_its_dotted_name(name, value):
    with pytest.raises(ValueError, match=rf"negotiation\.\w*{name}"):
        NegotiationConfig(**{name: value})


def test_the_default_settings_are_valid_and_frozen():
    settings = NegotiationConfig()
    for field in fields(settings):
        with pytest.raises(AttributeError):
            setattr(settings, field.name, getattr(settings, field.name))
