import math
from dataclasses import fields

import pytest

from agents.common.config_error import ConfigError
from agents.training.settings import DistillationConfig, TrainingConfig

REFUSED = [
    (TrainingConfig, "steps", 0),
    (TrainingConfig, "segments", 0),
    (TrainingConfig, "segments", 1),
    (TrainingConfig, "segment_ticks", 1),
    (TrainingConfig, "learning_rate", 0.0),
    (TrainingConfig, "learning_rate", math.nan),
    (TrainingConfig, "warmup", 1.0),
    (TrainingConfig, "warmup", -0.1),
    (TrainingConfig, "warmup", math.nan),
    (TrainingConfig, "weight_decay", -1e-4),
    (TrainingConfig, "grad_clip_norm", math.inf),
    (TrainingConfig, "replay_ticks", 7),
    (TrainingConfig, "new_ticks_per_step", -1),
    (TrainingConfig, "checkpoint_every", 0),
    (TrainingConfig, "core_eval_ticks", 1),
    (TrainingConfig, "online_new_ticks", -1),
    (TrainingConfig, "online_lr_factor", 1.5),
    (TrainingConfig, "drift_check_every", 0),
    (DistillationConfig, "ticks", 63),
    (DistillationConfig, "ticks", 65537),
    (DistillationConfig, "steps", 0),
    (DistillationConfig, "batch", 15),
    (DistillationConfig, "batch", 6145),
]


@pytest.mark.parametrize(("kind", "name", "value"), REFUSED)
def test_a_setting_out_of_range_is_refused_by_its_name(kind, name, value):
    with pytest.raises(ConfigError) as refusal:
        kind(**{name: value})
    assert (refusal.value.setting, str(refusal.value.value)) == (name, str(value))


@pytest.mark.parametrize("kind", [TrainingConfig, DistillationConfig])
def test_default_settings_are_valid_and_frozen(kind):
    settings = kind()
    for field in fields(settings):
        with pytest.raises(AttributeError):
            setattr(settings, field.name, getattr(settings, field.name))
