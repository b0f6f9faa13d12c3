import math
from dataclasses import fields, replace

import pytest

from agents.common.config_error import ConfigError
from agents.models.settings import (
    BASELINES,
    KINDS,
    OBJECTIVES,
    BaselineConfig,
    EncoderConfig,
    ModelConfig,
    PJepaConfig,
    PJepaModelConfig,
    SeqJepaConfig,
    SeqModelConfig,
    check_kind,
)

REFUSED = [
    (ModelConfig, "objective", "barlow"),
    (ModelConfig, "precision", "fp8"),
    (ModelConfig, "dim", 0),
    (ModelConfig, "dim", 1025),
    (ModelConfig, "width", 0),
    (ModelConfig, "hidden", -1),
    (ModelConfig, "ridge", 0.0),
    (ModelConfig, "ridge", math.nan),
    (ModelConfig, "variance", -1.0),
    (ModelConfig, "prediction", -1.0),
    (ModelConfig, "covariance", math.inf),
    (ModelConfig, "sigreg", math.nan),
    (ModelConfig, "log_det", -0.1),
    (ModelConfig, "ema_momentum", 1.1),
    (ModelConfig, "ema_covariance", -0.1),
    (EncoderConfig, "dim", 0),
    (EncoderConfig, "dim", 1025),
    (SeqModelConfig, "readout_dim", 1025),
    (EncoderConfig, "width", -1),
    (EncoderConfig, "precision", "fp8"),
    (SeqModelConfig, "action_dim", 0),
    (SeqModelConfig, "layers", 0),
    (SeqModelConfig, "heads", 3),
    (SeqModelConfig, "momentum", 1.5),
    (SeqModelConfig, "momentum", math.nan),
    (SeqModelConfig, "temporal_weight", -1.0),
    (SeqModelConfig, "covariance", -0.1),
    (SeqModelConfig, "ridge", 0.0),
    (SeqJepaConfig, "views", 1),
    (PJepaModelConfig, "head_hidden", 0),
    (PJepaModelConfig, "head_weight", math.inf),
    (PJepaConfig, "task", "fame"),
    (PJepaConfig, "controlled_objects", 0),
    (PJepaConfig, "encoder_lr_multiplier", 1.1),
    (BaselineConfig, "projection", 0),
    (BaselineConfig, "temperature", 0.0),
    (BaselineConfig, "covariance", -1.0),
    (BaselineConfig, "momentum", -0.1),
]
GROUPS = [
    ModelConfig,
    EncoderConfig,
    SeqModelConfig,
    SeqJepaConfig,
    PJepaModelConfig,
    PJepaConfig,
    BaselineConfig,
]


@pytest.mark.parametrize(("kind", "name", "value"), REFUSED)
def test_a_setting_out_of_range_is_refused_by_its_name(kind, name, value):
    with pytest.raises(ConfigError) as refusal:
        replace(kind(), **{name: value})
    assert (refusal.value.setting, str(refusal.value.value)) == (name, str(value))


@pytest.mark.parametrize("kind", GROUPS)
def test_default_settings_are_valid_and_frozen(kind):
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


@pytest.mark.parametrize("kind", ["mod\u00fcl:Klasse", "package_" + "x" * 120 + ":Class", "frozen:a b:Class"])
def test_a_kind_that_no_peer_takes_is_refused_before_anything_is_trained(kind):
    sentence = r"at most 128 ASCII letters, digits, '_', '\.' and ':'.*rename the module or the class"
    with pytest.raises(ConfigError, match=sentence):
        check_kind(kind)


def test_a_model_whose_anchors_no_peer_compares_is_refused():
    encoder = EncoderConfig(dim=1020)
    SeqModelConfig(encoder=encoder, action_dim=4, temporal_weight=0.0)
    SeqModelConfig(encoder=encoder, action_dim=8)  # its anchors are the read-out
    with pytest.raises(ConfigError, match="an anchor has 1028 dimensions, and at most 1024 can be compared"):
        SeqModelConfig(encoder=encoder, action_dim=8, temporal_weight=0.0)


@pytest.mark.parametrize("changes", [{"auxiliary": False}, {"detached": True}, {"head_weight": 0.0}])
def test_without_dynamics_the_head_must_train_the_encoder(changes):
    PJepaModelConfig(**changes)
    with pytest.raises(ValueError, match="must train the encoder"):
        PJepaModelConfig(dynamics=False, **changes)


def test_a_token_holds_a_latent_and_where_conditioned_an_action():
    assert SeqModelConfig().token_dim == 80
    assert SeqModelConfig(action_conditioning=False).token_dim == 64


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("jepa", {"objective": "vicreg", "variance": 0.0}, ["variance=0", "set model.variance above 0"]),
        ("jepa", {"objective": "vicreg", "variance": 0.0, "covariance": 0.0}, ["model.variance=0"]),
        ("jepa", {"objective": "sigreg", "sigreg": 0.0}, ["model.sigreg=0", "set model.sigreg above 0"]),
        ("jepa", {"objective": "log_det", "log_det": 0.0}, ["model.log_det=0"]),
        (
            "jepa", {"objective": "ema", "ema_covariance": 0.0},
            ["set model.ema_covariance above 0", "one object alone"],
        ),
        ("p_jepa", {"p_jepa": PJepaConfig(auxiliary=False)}, ["model.p_jepa.auxiliary=false"]),
        ("p_jepa", {"p_jepa": PJepaConfig(detached=True)}, ["model.p_jepa.detached=true"]),
        ("p_jepa", {"p_jepa": PJepaConfig(head_weight=0.0)}, ["model.p_jepa.head_weight=0", "above 0"]),
    ],
)  # fmt: skip
def test_settings_that_leave_nothing_against_collapse_are_named_with_the_remedy(kind, changes, words):
    config = ModelConfig(**changes)  # experiments on collapse may train it

    assert all(word in config.collapse_risk(kind) for word in words)
    assert all(config.collapse_risk(other) == "" for other in {"jepa", "seq_jepa", "p_jepa", "a:B"} - {kind})


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_objectives_and_kinds_with_a_term_against_collapse_are_no_risk(objective):
    for changes in ({}, {"covariance": 0.0}, {"prediction": 0.5}):
        config = ModelConfig(objective=objective, **changes)
        assert [config.collapse_risk(kind) for kind in KINDS] == [""] * len(KINDS)


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "whitened"},
        {"objective": "vicreg", "variance": 0.0, "covariance": 0.0},
        {"objective": "sigreg", "sigreg": 0.0},
        {"objective": "log_det", "log_det": 0.0},
        {"objective": "ema", "ema_covariance": 0.0},
    ],
)
def test_an_objective_without_any_term_is_refused(changes):
    with pytest.raises(ConfigError, match="no term to train on; set it above 0") as refusal:
        ModelConfig(prediction=0.0, **changes)
    assert refusal.value.setting == "prediction"


def test_a_baseline_names_the_weight_that_leaves_nothing_against_collapse():
    assert "variance=0" in BaselineConfig(variance=0.0).collapse_risk("vicreg")
    for kind in BASELINES:
        assert BaselineConfig().collapse_risk(kind) == ""
        assert kind == "vicreg" or BaselineConfig(variance=0.0).collapse_risk(kind) == ""
    with pytest.raises(ConfigError, match="no term to train on"):
        BaselineConfig(similarity=0.0, variance=0.0, covariance=0.0)
