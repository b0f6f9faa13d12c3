from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.models.ema import frozen_copy, update_ema
from agents.models.losses import covariance_loss, whitened_prediction_loss
from agents.models.seq_jepa import SeqJepa
from agents.models.settings import EncoderConfig, SeqModelConfig

CONFIG = SeqModelConfig(
    EncoderConfig(8, 4, 16, "fp32"), action_dim=4, heads=2, layers=2, predictor_hidden=16, readout_dim=3,
    covariance=0.0, temporal_weight=0.0,
)  # fmt: skip
ACTION = 2
every_conditioning = pytest.mark.parametrize("conditioned", [True, False])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def sequences(count=12, views=4, seed=0, ticks=()):
    """Random views and actions, uint8 [N, (T,) M, 16, 16, 3] and float [N, (T,) M - 1, 2]."""
    draw, shape = generator(seed), (count, *ticks, views)
    images = torch.randint(0, 256, (*shape, 16, 16, 3), dtype=torch.uint8, generator=draw)
    return images, torch.randn(*shape[:-1], views - 1, ACTION, generator=draw)


def model(seed=0, **changes):
    torch.manual_seed(seed)
    found = SeqJepa(replace(CONFIG, **changes), 16, ACTION)
    found.calibrate(sequences(seed=9)[0].flatten(0, 1))
    return found


def without_gradient(found):
    return {name for name, weight in found.named_parameters() if weight.grad is None or not weight.grad.any()}


@pytest.mark.parametrize("changes", [{}, {"action_conditioning": False}, {"temporal_weight": 0.5}])
def test_every_parameter_outside_the_target_network_gets_a_gradient(changes):
    found = model(**changes)
    with torch.no_grad():
        found.query.normal_(generator=generator())
    loss, terms = found.loss(*sequences(ticks=(3,) if "temporal_weight" in changes else ()), generator())
    loss.backward()
    target = {f"target.{name}" for name, _ in found.target.named_parameters()}

    assert without_gradient(found) == target
    assert all(weight.grad is None for weight in found.target.parameters())
    assert all(isinstance(term, float) and np.isfinite(term) for term in terms.values())


def test_the_last_view_enters_the_loss_through_the_target_network_alone():
    """With a target network of zeros, the last view has no influence on the loss."""
    found, (views, actions) = model(), sequences()
    changed = views.clone()
    changed[:, -1] = 255 - changed[:, -1]
    with torch.no_grad():
        for weight in found.target.parameters():
            weight.zero_()
    loss, _ = found.loss(views, actions, generator())

    assert loss == found.loss(changed, actions, generator())[0] == 1


def test_the_loss_is_one_minus_the_cosine_of_prediction_and_target_latent():
    """Computed with numpy from aggregate, prediction and target."""
    found, (views, actions) = model().eval(), sequences()
    with torch.no_grad():
        loss, terms = found.loss(views, actions, generator())
        aggregate = found.aggregate(views[:, :-1], actions[:, :-1])
        embedded = found.action_embedding(actions[:, -1])
        predicted = found.predictor(torch.cat([aggregate, embedded], 1)).numpy()
        target = found.target(views[:, -1]).numpy()
    lengths = np.linalg.norm(predicted, axis=1) * np.linalg.norm(target, axis=1)
    expected = np.mean(1 - (predicted * target).sum(1) / lengths)

    assert loss.item() == pytest.approx(expected, abs=1e-6)
    assert terms == {"prediction": pytest.approx(expected, abs=1e-6)}


@every_conditioning
def test_actions_matter_exactly_with_action_conditioning(conditioned):
    found, (views, actions) = model(action_conditioning=conditioned), sequences()
    other = sequences(seed=1)[1]

    same = found.loss(views, actions, generator())[0] == found.loss(views, other, generator())[0]
    assert bool(same) is not conditioned
    same = torch.equal(found.aggregate(views, actions), found.aggregate(views, other))
    assert same is not conditioned
    assert found.aggregate_dim == found.dim == (12 if conditioned else 8)


def test_the_aggregate_depends_on_the_set_of_view_and_action_pairs_alone():
    """Without positional embedding, only the last view and the pairing of views and actions matter."""
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
def test_sequences_of_any_length_can_be_aggregated_after_training_on_another_length(views):
    found = model()
    found.loss(*sequences(views=3), generator())[0].backward()
    images, actions = sequences(views=views)
    for mode in (True, False):
        aggregate = found.train(mode).aggregate(images, actions)
        assert aggregate.shape == (12, 12)
        assert torch.isfinite(aggregate).all()
    assert found.encode_views(images).shape == (12, views, 8)


def test_in_evaluation_mode_an_aggregate_does_not_depend_on_its_batch():
    found, (views, actions) = model(), sequences()
    found.loss(views, actions, generator())
    with torch.no_grad():
        together = found.eval().aggregate(views, actions)
        alone = torch.cat([found.aggregate(views[[row]], actions[[row]]) for row in range(12)])

    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_views_are_encoded_independently_and_a_single_view_is_a_sequence_of_one():
    found, (views, actions) = model(temporal_weight=1.0).eval(), sequences()
    latents = found.encode_views(views)
    single = found.encode(views[:, 0])

    torch.testing.assert_close(latents[:, 2], found.encode_views(views[:, 2]), atol=1e-5, rtol=1e-4)
    assert torch.equal(single, found.readout(found.aggregate(views[:, :1], actions[:, :0])))
    assert single.shape == (12, found.dim) == (12, 3)
    assert single.dtype == latents.dtype == torch.float32


def test_equal_actions_embed_equally_at_every_position():
    found = model()
    actions = torch.randn(6, 1, ACTION, generator=generator()).expand(-1, 3, -1)
    embedded = found._embed_actions(actions)

    assert torch.equal(embedded[:, 0], embedded[:, 2])
    torch.testing.assert_close(embedded.mean((0, 1)), torch.zeros(4), atol=1e-6, rtol=0)
    assert not list(found.action_embedding[1].parameters())  # its BatchNorm has no learned scale and shift


def test_the_target_network_follows_the_encoder_with_the_configured_momentum():
    found = model()
    with torch.no_grad():
        for weight in found.encoder.parameters():
            weight.normal_(generator=generator())
    expected = frozen_copy(found.target)
    update_ema(expected, found.encoder, CONFIG.momentum)
    found.update_ema()
    assert all(map(torch.equal, found.target.parameters(), expected.parameters()))
    found.update_ema(0.0)

    assert all(map(torch.equal, found.target.parameters(), found.encoder.parameters()))


def test_the_temporal_term_is_the_whitened_prediction_loss_of_the_readout():
    found, (views, actions) = model(temporal_weight=0.5).eval(), sequences(count=20, ticks=(3,))
    loss, terms = found.loss(views, actions, generator())
    flat = found.aggregate(views[:, :, :-1].flatten(0, 1), actions[:, :, :-1].flatten(0, 1))
    readout = found.readout(flat).unflatten(0, (20, 3))
    expected = whitened_prediction_loss(readout[:, :-1], readout[:, 1:])

    assert terms["temporal"] == pytest.approx(expected.item(), abs=1e-4)
    assert loss.item() == pytest.approx(terms["prediction"] + 0.5 * terms["temporal"], abs=1e-5)


def test_the_covariance_term_is_that_of_the_latents_of_all_views_but_the_last():
    found, (views, actions) = model(covariance=0.5).eval(), sequences()
    loss, terms = found.loss(views, actions, generator())
    expected = covariance_loss(found.encode_views(views[:, :-1]).flatten(0, 1))

    assert terms["covariance"] == pytest.approx(expected.item(), rel=1e-4)
    assert loss.item() == pytest.approx(terms["prediction"] + 0.5 * terms["covariance"], abs=1e-5)


def test_with_batch_normalization_latents_of_views_have_unit_variance_over_a_batch():
    found = model(encoder=replace(CONFIG.encoder, batch_norm=True)).train()
    latents = found.encode_views(sequences()[0]).flatten(0, 1)

    torch.testing.assert_close(latents.mean(0), torch.zeros(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(latents.var(0, correction=0), torch.ones(8), atol=0.1, rtol=0)
    assert len(list(found.encoder.parameters())) == len(list(model().encoder.parameters()))


def test_without_temporal_weight_ticks_are_independent_sequences():
    found, (views, actions) = model(), sequences(ticks=(3,))
    loss, terms = found.loss(views, actions, generator())

    assert loss == found.loss(views.flatten(0, 1), actions.flatten(0, 1), generator())[0]
    assert set(terms) == {"prediction"}


def test_layers_start_with_different_weights():
    first, second = (layer.linear1.weight for layer in model().aggregator)
    assert (first != second).any()


def test_training_lowers_the_loss_and_the_state_dict_is_the_whole_model():
    """Views show a bright bar; an action is the distance to the next one."""
    rng, found = np.random.default_rng(0), model()
    optimizer = torch.optim.Adam(found.parameters(), lr=3e-3)

    def batch(count=64):
        position = rng.integers(0, 13, (count, 4))
        views = np.zeros((count, 4, 16, 16, 3), np.uint8)
        for row, column in np.ndindex(count, 4):
            views[row, column, :, position[row, column] : position[row, column] + 3] = 255
        actions = np.stack([np.diff(position) / 13, np.zeros((count, 3))], axis=-1)
        return torch.from_numpy(views), torch.from_numpy(actions).float()

    found.calibrate(batch()[0].flatten(0, 1))
    history = []
    for step in range(60):
        loss, _ = found.loss(*batch(), generator(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.update_ema()
        history.append(loss.item())
    other = model(seed=1)
    other.load_state_dict(found.state_dict())
    views, actions = batch(8)

    assert np.mean(history[-10:]) < 0.5 * np.mean(history[:5])
    assert torch.equal(other.eval().aggregate(views, actions), found.eval().aggregate(views, actions))


INVALID = {
    "one view has nothing to predict": ((12, 1, 16, 16, 3), (12, 0, 2), "M >= 2"),
    "no axis of views": ((12, 16, 16, 3), (12, 3, 2), "M >= 2"),
    "an action too many": ((12, 4, 16, 16, 3), (12, 4, 2), "need actions"),
    "actions of another width": ((12, 4, 16, 16, 3), (12, 3, 5), "need actions"),
    "other sequences": ((12, 4, 16, 16, 3), (11, 3, 2), "need actions"),
    "one sequence in training": ((1, 4, 16, 16, 3), (1, 3, 2), "two sequences"),
}


@pytest.mark.parametrize("name", INVALID)
def test_inputs_of_mismatched_shapes_are_refused(name):
    views, actions, message = INVALID[name]
    with pytest.raises(ValueError, match=message):
        model().loss(torch.zeros(views, dtype=torch.uint8), torch.zeros(actions), generator())


def test_a_single_tick_with_temporal_weight_float_frames_and_empty_actions_are_refused():
    with pytest.raises(ValueError, match="two ticks"):
        model(temporal_weight=1.0).loss(*sequences(), generator())
    with pytest.raises(ValueError, match="uint8"):
        model().encode_views(sequences()[0].float())
    with pytest.raises(ValueError, match="action_dim=0"):
        SeqJepa(CONFIG, 16, 0)
