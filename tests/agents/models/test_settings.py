import subprocess
import sys
from dataclasses import replace

import pytest

from agents.config_error import ConfigError
from agents.models.settings import BaselineConfig, EncoderConfig, PJepaModelConfig, SeqModelConfig

REFUSED = [
    (EncoderConfig, "dim", 0),
    (EncoderConfig, "width", -1),
    (EncoderConfig, "precision", "fp8"),
    (SeqModelConfig, "action_dim", 0),
    (SeqModelConfig, "layers", 0),
    (SeqModelConfig, "heads", 3),
    (SeqModelConfig, "momentum", 1.5),
    (SeqModelConfig, "momentum", float("nan")),
    (SeqModelConfig, "temporal_weight", -1.0),
    (SeqModelConfig, "ridge", 0.0),
    (PJepaModelConfig, "head_hidden", 0),
    (PJepaModelConfig, "head_weight", float("inf")),
    (BaselineConfig, "projection", 0),
    (BaselineConfig, "temperature", 0.0),
    (BaselineConfig, "covariance", -1.0),
    (BaselineConfig, "momentum", -0.1),
]


@pytest.mark.parametrize(("group", "name", "value"), REFUSED)
def test_a_setting_that_cannot_work_is_refused_by_name(group, name, value):
    with pytest.raises(ConfigError) as refusal:
        replace(group(), **{name: value})
    assert (refusal.value.setting, str(refusal.value.value)) == (name, str(value))


@pytest.mark.parametrize("changes", [{"auxiliary": False}, {"detached": True}, {"head_weight": 0.0}])
def test_without_dynamics_and_without_a_head_that_teaches_nothing_is_left_to_learn(changes):
    PJepaModelConfig(**changes)
    with pytest.raises(ValueError, match="must teach the encoder"):
        PJepaModelConfig(dynamics=False, **changes)


def test_a_token_holds_a_code_and_the_action_where_one_is_looked_at():
    assert SeqModelConfig().token_dim == 80
    assert SeqModelConfig(action_conditioning=False).token_dim == 64


def test_reading_the_settings_loads_no_torch():
    program = "import sys, agents.models.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
