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
    ("pool_stride", -1),
    ("ridge", 0.0),
    ("ridge", math.nan),
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


@pytest.mark.parametrize(("memory", "stride", "rows"), [(0, 4, 1), (20, 4, 5), (135, 9, 15), (688, 43, 16)])
def test_a_pool_of_a_slow_scene_reaches_further(memory, stride, rows):
    settings = NegotiationConfig()

    assert (settings.stride(memory), settings.memory_rows(memory)) == (stride, rows)
    assert NegotiationConfig(pool_stride=2).stride(memory) == 2


def test_a_pool_that_cannot_be_shifted_beyond_the_memory_is_refused():
    settings = NegotiationConfig(anchors=4, heldout=4, pool_ticks=200, pool_stride=1)

    assert settings.memory_rows(15) == 15
    with pytest.raises(ConfigError, match="at least 240") as refusal:
        settings.memory_rows(20)
    assert refusal.value.setting == "pool_ticks"


@pytest.mark.parametrize("memory", [0, 1, 20, 135, 688, 1536])
@pytest.mark.parametrize("pool_ticks", [32, 64, 96, 1024])
def test_a_pool_of_any_size_spans_a_dozen_memories_unless_its_stride_is_set(pool_ticks, memory):
    settings = NegotiationConfig(anchors=4, heldout=4, pool_ticks=pool_ticks)

    assert pool_ticks * settings.stride(memory) >= 12 * memory
    assert settings.memory_rows(memory) >= 1
