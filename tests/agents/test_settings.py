import math
import subprocess
import sys
from dataclasses import fields

import pytest

from agents.config_error import ConfigError
from agents.settings import KINDS, ModelConfig, TrainingConfig, check_kind

BAD = [
    (ModelConfig, "objective", "barlow"),
    (ModelConfig, "precision", "fp8"),
    (ModelConfig, "dim", 0),
    (ModelConfig, "dim", 1025),
    (ModelConfig, "width", 0),
    (ModelConfig, "hidden", -1),
    (ModelConfig, "ridge", 0.0),
    (ModelConfig, "ridge", math.nan),
    (ModelConfig, "variance", -1.0),
    (ModelConfig, "covariance", math.inf),
    (ModelConfig, "sigreg", math.nan),
    (ModelConfig, "log_det", -0.1),
    (TrainingConfig, "steps", 0),
    (TrainingConfig, "segments", 0),
    (TrainingConfig, "segments", 1),
    (TrainingConfig, "segment_ticks", 1),
    (TrainingConfig, "learning_rate", 0.0),
    (TrainingConfig, "learning_rate", math.nan),
    (TrainingConfig, "warmup", 1.0),
    (TrainingConfig, "warmup", -0.1),
    (TrainingConfig, "warmup", math.nan),
    (TrainingConfig, "grad_clip_norm", math.inf),
    (TrainingConfig, "replay_ticks", 7),
    (TrainingConfig, "new_ticks_per_step", -1),
    (TrainingConfig, "checkpoint_every", 0),
    (TrainingConfig, "core_eval_ticks", 1),
]


@pytest.mark.parametrize(("kind", "name", "value"), BAD)
def test_a_setting_out_of_range_is_refused_by_its_name(kind, name, value):
    with pytest.raises(ConfigError) as refusal:
        kind(**{name: value})
    assert (refusal.value.setting, str(refusal.value.value)) == (name, str(value))


@pytest.mark.parametrize("kind", [ModelConfig, TrainingConfig])
def test_the_settings_that_nobody_touched_work_and_cannot_be_changed(kind):
    settings = kind()
    for field in fields(settings):
        with pytest.raises(AttributeError):
            setattr(settings, field.name, getattr(settings, field.name))


@pytest.mark.parametrize(
    ("kind", "hint"),
    [("jeepa", "did you mean 'jepa'"), ("transformer", "choose one of jepa"), ("", "choose one of")],
)
def test_an_unknown_kind_of_world_model_is_refused_with_a_hint(kind, hint):
    with pytest.raises(ValueError, match=hint):
        check_kind(kind)
    for known in KINDS:
        check_kind(known)


def test_reading_settings_loads_neither_torch_nor_ray():
    code = (
        "import sys, agents.settings; sys.exit(bool({'torch', 'ray', 'numpy', 'pyglet'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
