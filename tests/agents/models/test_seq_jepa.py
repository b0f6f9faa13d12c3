from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.models.ema import frozen_copy, update_ema
from agents.models.losses import whitened_prediction_loss
from agents.models.seq_jepa import SeqJepa
from agents.models.settings import EncoderConfig, SeqModelConfig

CONFIG = SeqModelConfig(
    EncoderConfig(8, 4, 16, "fp32"), action_dim=4, heads=2, layers=2, predictor_hidden=16, readout_dim=3
)
ACTION = 2
every_conditioning = pytest.mark.parametrize("conditioned", [True, False])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def sequences(count=12, views=4, seed=0, ticks=()):
    """Noise for views and actions, uint8 [N, (T,) M, 16, 16, 3] and float [N, (T,) M - 1, 2]."""
    draw, shape = generator(seed), (count, *ticks, views)
    pictures = torch.randint(0, 256, (*shape, 16, 16, 3), dtype=torch.uint8, generator=draw)
    return pictures, torch.randn(*shape[:-1], views - 1, ACTION, generator=draw)


def model(seed=0, **changes):
    torch.manual_seed(seed)
    found = SeqJepa(replace(CONFIG, **changes), 16, ACTION)
    found.calibrate(sequences(seed=9)[0].flatten(0, 1))
    return found


def without_gradient(found):
    return {name for name, weight in found.named_parameters() if weight.grad is None or not weight.grad.any()}


@pytest.mark.parametrize("changes", [{}, {"action_conditioning": False}, {"temporal_weight": 0.5}])
def test_the_gradient_reaches_every_parameter_but_the_target_network(changes):
    found = model(**changes)
    with torch.no_grad():
        found.query.normal_(generator=generator())
    loss, parts = found.loss(*sequences(ticks=(3,) if "temporal_weight" in changes else ()), generator())
    loss.backward()
    target = {f"target.{name}" for name, _ in found.target.named_parameters()}

    assert without_gradient(found) == target
    assert all(weight.grad is None for weight in found.target.parameters())
    assert all(isinstance(part, float) and np.isfinite(part) for part in parts.values())


def test_the_last_view_teaches_through_the_target_network_alone():
    """With a frozen target no gradient flows from the view that is to be predicted, and it still matters."""
    found, (views, actions) = model(), sequences()
    changed = views.clone()
    changed[:, -1] = 255 - changed[:, -1]
    with torch.no_grad():
        for weight in found.target.parameters():
            weight.zero_()
    loss, _ = found.loss(views, actions, generator())

    assert loss == found.loss(changed, actions, generator())[0] == 1


def test_the_loss_is_one_minus_the_cosine_between_prediction_and_target_code():
    """Written again with numpy from the parts: tokens, aggregate, prediction, angle."""
    found, (views, actions) = model().eval(), sequences()
    with torch.no_grad():
        loss, parts = found.loss(views, actions, generator())
        aggregate = found.aggregate(views[:, :-1], actions[:, :-1])
        move = found.action_embedding(actions[:, -1])
        predicted = found.predictor(torch.cat([aggregate, move], 1)).numpy()
        target = found.target(views[:, -1]).numpy()
    lengths = np.linalg.norm(predicted, axis=1) * np.linalg.norm(target, axis=1)
    expected = np.mean(1 - (predicted * target).sum(1) / lengths)

    assert loss.item() == pytest.approx(expected, abs=1e-6)
    assert parts == {"prediction": pytest.approx(expected, abs=1e-6)}


@every_conditioning
def test_actions_count_exactly_where_they_are_looked_at(conditioned):
    found, (views, actions) = model(action_conditioning=conditioned), sequences()
    other = sequences(seed=1)[1]

    same = found.loss(views, actions, generator())[0] == found.loss(views, other, generator())[0]
    assert bool(same) is not conditioned
    same = torch.equal(found.aggregate(views, actions), found.aggregate(views, other))
    assert same is not conditioned
    assert found.aggregate_dim == found.dim == (12 if conditioned else 8)


def test_a_path_is_a_set_of_views_and_the_moves_that_led_away_from_them():
    """No table of positions: only which view is last, and which action followed which view, are known."""
    found, (views, actions) = model().eval(), sequences(views=5)
    order = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        plain = found.aggregate(views, actions)
        together = found.aggregate(views[:, [*order, 4]], actions[:, order])
        actions_alone = found.aggregate(views, actions[:, order])
        views_alone = found.aggregate(views[:, [*order, 4]], actions)

    torch.testing.assert_close(together, plain, atol=1e-5, rtol=1e-4)
    assert (actions_alone - plain).abs().max() > 1e-3
    assert (views_alone - plain).abs().max() > 1e-3


@pytest.mark.parametrize("views", [1, 2, 9])
def test_any_number_of_views_can_be_gathered_after_training_on_another(views):
    found = model()
    found.loss(*sequences(views=3), generator())[0].backward()
    pictures, actions = sequences(views=views)
    for mode in (True, False):
        aggregate = found.train(mode).aggregate(pictures, actions)
        assert aggregate.shape == (12, 12)
        assert torch.isfinite(aggregate).all()
    assert found.encode_views(pictures).shape == (12, views, 8)


def test_when_evaluating_a_sequence_does_not_depend_on_its_neighbours():
    found, (views, actions) = model(), sequences()
    found.loss(views, actions, generator())
    with torch.no_grad():
        together = found.eval().aggregate(views, actions)
        alone = torch.cat([found.aggregate(views[[row]], actions[[row]]) for row in range(12)])

    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_a_code_is_a_view_by_itself_and_a_single_view_is_a_sequence_of_one():
    found, (views, actions) = model(temporal_weight=1.0).eval(), sequences()
    codes = found.encode_views(views)
    single = found.encode(views[:, 0])

    torch.testing.assert_close(codes[:, 2], found.encode_views(views[:, 2]), atol=1e-5, rtol=1e-4)
    assert torch.equal(single, found.readout(found.aggregate(views[:, :1], actions[:, :0])))
    assert single.shape == (12, found.dim) == (12, 3)
    assert single.dtype == codes.dtype == torch.float32


def test_equal_actions_embed_equally_wherever_they_stand():
    found = model()
    actions = torch.randn(6, 1, ACTION, generator=generator()).expand(-1, 3, -1)
    embedded = found._embed_actions(actions)

    assert torch.equal(embedded[:, 0], embedded[:, 2])
    torch.testing.assert_close(embedded.mean((0, 1)), torch.zeros(4), atol=1e-6, rtol=0)
    assert not list(found.action_embedding[1].parameters())  # its BatchNorm has no scale and shift of its own


def test_a_target_network_follows_the_encoder_by_the_momentum_of_the_settings():
    found = model()
    with torch.no_grad():
        for weight in found.encoder.parameters():
            weight.normal_(generator=generator())
    expected = frozen_copy(found.target)
    update_ema(expected, found.encoder, 0.996)
    found.update_ema()
    assert all(map(torch.equal, found.target.parameters(), expected.parameters()))
    found.update_ema(0.0)

    assert all(map(torch.equal, found.target.parameters(), found.encoder.parameters()))


def test_the_term_over_ticks_is_the_whitened_prediction_of_the_read_out():
    found, (views, actions) = model(temporal_weight=0.5).eval(), sequences(count=20, ticks=(3,))
    loss, parts = found.loss(views, actions, generator())
    flat = found.aggregate(views[:, :, :-1].flatten(0, 1), actions[:, :, :-1].flatten(0, 1))
    summary = found.readout(flat).unflatten(0, (20, 3))
    expected = whitened_prediction_loss(summary[:, :-1].flatten(0, 1), summary[:, 1:].flatten(0, 1))

    assert parts["temporal"] == pytest.approx(expected.item(), abs=1e-4)
    assert loss.item() == pytest.approx(parts["prediction"] + 0.5 * parts["temporal"], abs=1e-5)


def test_without_weight_for_ticks_they_are_more_sequences():
    found, (views, actions) = model(), sequences(ticks=(3,))
    loss, parts = found.loss(views, actions, generator())

    assert loss == found.loss(views.flatten(0, 1), actions.flatten(0, 1), generator())[0]
    assert set(parts) == {"prediction"}


def test_layers_start_with_weights_of_their_own():
    first, second = (layer.linear1.weight for layer in model().aggregator)
    assert (first != second).any()


def test_a_few_steps_lower_the_loss_and_the_state_dict_is_the_whole_model():
    """Views are a bright bar at a place; an action says how far the next one is."""
    rng, found = np.random.default_rng(0), model()
    optimiser = torch.optim.Adam(found.parameters(), lr=3e-3)

    def batch(count=64):
        place = rng.integers(0, 13, (count, 4))
        views = np.zeros((count, 4, 16, 16, 3), np.uint8)
        for row, column in np.ndindex(count, 4):
            views[row, column, :, place[row, column] : place[row, column] + 3] = 255
        moves = np.stack([np.diff(place) / 13, np.zeros((count, 3))], axis=-1)
        return torch.from_numpy(views), torch.from_numpy(moves).float()

    found.calibrate(batch()[0].flatten(0, 1))
    seen = []
    for step in range(60):
        loss, _ = found.loss(*batch(), generator(step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.update_ema()
        seen.append(loss.item())
    other = model(seed=1)
    other.load_state_dict(found.state_dict())
    views, actions = batch(8)

    assert np.mean(seen[-10:]) < 0.5 * np.mean(seen[:5])
    assert torch.equal(other.eval().aggregate(views, actions), found.eval().aggregate(views, actions))


HOSTILE = {
    "one view has nothing to predict": ((12, 1, 16, 16, 3), (12, 0, 2), "M >= 2"),
    "no axis of views": ((12, 16, 16, 3), (12, 3, 2), "M >= 2"),
    "an action too many": ((12, 4, 16, 16, 3), (12, 4, 2), "need actions"),
    "actions of another width": ((12, 4, 16, 16, 3), (12, 3, 5), "need actions"),
    "other sequences": ((12, 4, 16, 16, 3), (11, 3, 2), "need actions"),
    "one sequence in training": ((1, 4, 16, 16, 3), (1, 3, 2), "two sequences"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_does_not_belong_together_is_refused(name):
    views, actions, sentence = HOSTILE[name]
    with pytest.raises(ValueError, match=sentence):
        model().loss(torch.zeros(views, dtype=torch.uint8), torch.zeros(actions), generator())


def test_ticks_with_a_weight_need_ticks_and_frames_are_bytes():
    with pytest.raises(ValueError, match="two ticks"):
        model(temporal_weight=1.0).loss(*sequences(), generator())
    with pytest.raises(ValueError, match="uint8"):
        model().encode_views(sequences()[0].float())
    with pytest.raises(ValueError, match="action_dim=0"):
        SeqJepa(CONFIG, 16, 0)
