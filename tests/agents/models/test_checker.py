import pytest
import torch

from agents.models.checker import WorldModelError, check_world_model
from agents.models.jepa import Jepa
from agents.models.settings import OBJECTIVES, ModelConfig
from tests.support.model_defects import DEFECTS, DIM, SIZE, MinimalModel
from tests.support.training_defects import SpareLayer


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_refused_with_its_remedy(name):
    kind, message = DEFECTS[name]
    torch.manual_seed(0)
    with pytest.raises(WorldModelError, match=message) as caught:
        check_world_model(kind(), SIZE, DIM, rebuild=kind)
    assert ";" in str(caught.value)  # the problem; the remedy


def test_a_minimal_model_is_accepted():
    check_world_model(MinimalModel(), SIZE, DIM, rebuild=MinimalModel)
    check_world_model(MinimalModel(), SIZE)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_jepa_is_accepted_under_every_objective(objective, precision):
    config = ModelConfig(dim=4, width=4, hidden=16, objective=objective, precision=precision)
    check_world_model(Jepa(config, 32), 32, 4, rebuild=lambda: Jepa(config, 32))


def test_a_check_does_not_change_the_model_its_gradients_or_the_global_generator():
    model = MinimalModel()
    model.predictor.weight.grad = torch.ones(DIM, DIM)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    check_world_model(model, SIZE, DIM, rebuild=MinimalModel)

    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (model.predictor.weight.grad == 1).all()
    assert model.encoder.weight.grad is None
    assert model.training


def test_an_old_gradient_does_not_hide_a_missing_one():
    model = SpareLayer()
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    with pytest.raises(WorldModelError, match="no gradient reaches spare"):
        check_world_model(model, SIZE, DIM)
