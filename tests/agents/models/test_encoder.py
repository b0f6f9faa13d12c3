import numpy as np
import pytest
import torch

from agents.models.encoder import ConvEncoder, FrameEncoder, Normalise
from agents.models.settings import EncoderConfig


def pictures(count=40, size=16, seed=0):
    """A fixed background with a bright square that moves, uint8 [N, H, W, 3]."""
    rng = np.random.default_rng(seed)
    frames = (
        np.broadcast_to(rng.integers(0, 120, (size, size, 3)), (count, size, size, 3)).astype(np.uint8).copy()
    )
    for frame, (row, column) in zip(frames, rng.integers(0, size - 3, (count, 2)), strict=True):
        frame[row : row + 3, column : column + 3] = 200
    return torch.from_numpy(frames)


@pytest.mark.parametrize("count", [1, 7, 600])  # more than one chunk
def test_the_mean_picture_vanishes_and_the_rest_has_spread_one(count):
    frames, normalise = pictures(count), Normalise(16)
    normalise.fit(frames)
    seen = normalise(frames, torch.float32)

    assert seen.mean(0).abs().max() < 1e-4 * float(normalise.scale)
    if count > 1:
        assert float(seen.square().mean()) == pytest.approx(1, abs=1e-3)


def test_normalising_equals_an_independent_computation():
    frames, other = pictures(300), pictures(5, seed=1)
    normalise = Normalise(16)
    normalise.fit(frames)
    plain = frames.numpy().astype(np.float64)
    expected = (other.numpy() - plain.mean(0)) / plain.var(0).mean() ** 0.5

    np.testing.assert_allclose(normalise(other, torch.float32), expected.transpose(0, 3, 1, 2), atol=1e-4)


def test_what_never_moves_is_zero_in_every_picture():
    frames = pictures()
    still = (frames == frames[0]).all(0).permute(2, 0, 1)
    normalise = Normalise(16)
    normalise.fit(frames)

    assert still.any()
    assert (normalise(frames, torch.float32)[:, still].abs() < 1e-4).all()


def test_before_it_learnt_it_hands_pixels_on():
    frames = pictures()
    assert (Normalise(16)(frames, torch.float32) == frames.permute(0, 3, 1, 2)).all()


def test_one_picture_repeated_has_no_spread_and_stays_finite():
    frames, normalise = pictures(1).repeat(9, 1, 1, 1), Normalise(16)
    normalise.fit(frames)
    assert (normalise(frames, torch.float32) == 0).all()
    assert torch.isfinite(normalise(255 - frames, torch.bfloat16)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_normalised_frames_are_channels_last_and_the_pictures_stay_as_they_were(dtype):
    frames, normalise = pictures(), Normalise(16)
    before = frames.clone()
    normalise.fit(frames)
    seen = normalise(frames, dtype)

    assert seen.dtype == dtype
    assert seen.shape == (40, 3, 16, 16)
    assert seen.is_contiguous(memory_format=torch.channels_last)
    assert (frames == before).all()


def test_bf16_normalises_as_float32_does_to_half_a_grey_level():
    frames, normalise = pictures(), Normalise(16)
    normalise.fit(frames)
    gap = normalise(frames, torch.bfloat16).float() - normalise(frames, torch.float32)

    assert gap.abs().max() < 1.5 * float(normalise.scale)


@pytest.mark.parametrize("size", [16, 32, 64, 128])
@pytest.mark.parametrize("dim", [1, 6])
def test_an_encoder_takes_any_square_of_sixteenths(size, dim):
    encoder = ConvEncoder(size, dim, width=4, hidden=8)
    assert encoder(torch.zeros(2, 3, size, size)).shape == (2, dim)


@pytest.mark.parametrize("place", [(0, 0), (0, 31), (31, 0), (31, 31), (15, 17)])
def test_every_corner_of_the_picture_reaches_the_code(place):
    torch.manual_seed(0)
    encoder = ConvEncoder(32, 4, width=8, hidden=32)
    frame = torch.zeros(1, 3, 32, 32, requires_grad=True)
    encoder(frame + torch.randn(1, 3, 32, 32)).square().sum().backward()

    assert (frame.grad[0, :, place[0], place[1]] != 0).all()


def test_a_frame_encoder_codes_every_frame_for_itself_along_any_leading_axes():
    torch.manual_seed(0)
    encoder, frames = FrameEncoder(EncoderConfig(5, 4, 16, "fp32"), 16), pictures(24)
    encoder.calibrate(frames)
    with torch.no_grad():
        flat, nested = encoder(frames), encoder(frames.unflatten(0, (2, 3, 4)))
        by_hand = encoder.net(encoder.normalise(frames, torch.float32))

    assert flat.shape == (24, encoder.dim) == (24, 5)
    assert torch.equal(nested, flat.unflatten(0, (2, 3, 4)))
    assert torch.equal(flat, by_hand)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "auto"])
def test_a_frame_encoder_returns_float32_and_leaves_the_frames_as_they_were(precision):
    torch.manual_seed(0)
    encoder, frames = FrameEncoder(EncoderConfig(5, 4, 16, precision), 16), pictures(24)
    before = frames.clone()

    assert encoder(frames).dtype == torch.float32
    assert (frames == before).all()


def test_frames_that_are_no_bytes_are_refused_before_they_are_overwritten():
    encoder, frames = FrameEncoder(EncoderConfig(5, 4, 16), 16), pictures(2)
    for spoilt in (frames.float(), frames[0]):
        with pytest.raises(ValueError, match="uint8"):
            encoder(spoilt)
