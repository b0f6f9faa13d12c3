import numpy as np
import pytest
import torch

from agents.models.encoder import ConvEncoder, FrameEncoder, Normalize
from agents.models.settings import EncoderConfig


def make_frames(count=40, size=16, seed=0):
    """A fixed background with a bright square that moves, uint8 [N, H, W, 3]."""
    rng = np.random.default_rng(seed)
    frames = (
        np.broadcast_to(rng.integers(0, 120, (size, size, 3)), (count, size, size, 3)).astype(np.uint8).copy()
    )
    for frame, (row, column) in zip(frames, rng.integers(0, size - 3, (count, 2)), strict=True):
        frame[row : row + 3, column : column + 3] = 200
    return torch.from_numpy(frames)


@pytest.mark.parametrize("count", [1, 7, 600])  # more than one chunk
def test_normalized_frames_have_mean_zero_and_variance_one(count):
    frames, normalize = make_frames(count), Normalize(16)
    normalize.fit(frames)
    seen = normalize(frames, torch.float32)

    assert seen.mean(0).abs().max() < 1e-4 * float(normalize.scale)
    if count > 1:
        assert float(seen.square().mean()) == pytest.approx(1, abs=1e-3)


def test_normalizing_equals_an_independent_computation():
    frames, other = make_frames(300), make_frames(5, seed=1)
    normalize = Normalize(16)
    normalize.fit(frames)
    plain = frames.numpy().astype(np.float64)
    expected = (other.numpy() - plain.mean(0)) / plain.var(0).mean() ** 0.5

    np.testing.assert_allclose(normalize(other, torch.float32), expected.transpose(0, 3, 1, 2), atol=1e-4)


def test_static_pixels_are_zero_in_every_normalized_frame():
    frames = make_frames()
    static = (frames == frames[0]).all(0).permute(2, 0, 1)
    normalize = Normalize(16)
    normalize.fit(frames)

    assert static.any()
    assert (normalize(frames, torch.float32)[:, static].abs() < 1e-4).all()


def test_normalization_is_the_identity_before_fit():
    frames = make_frames()
    assert (Normalize(16)(frames, torch.float32) == frames.permute(0, 3, 1, 2)).all()


def test_a_constant_sequence_of_frames_is_normalized_to_finite_values():
    frames, normalize = make_frames(1).repeat(9, 1, 1, 1), Normalize(16)
    normalize.fit(frames)
    assert (normalize(frames, torch.float32) == 0).all()
    assert torch.isfinite(normalize(255 - frames, torch.bfloat16)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_normalized_frames_are_channels_last_and_the_pictures_stay_as_they_were(dtype):
    frames, normalize = make_frames(), Normalize(16)
    before = frames.clone()
    normalize.fit(frames)
    seen = normalize(frames, dtype)

    assert seen.dtype == dtype
    assert seen.shape == (40, 3, 16, 16)
    assert seen.is_contiguous(memory_format=torch.channels_last)
    assert (frames == before).all()


def test_bf16_normalizes_as_float32_does_to_half_a_grey_level():
    frames, normalize = make_frames(), Normalize(16)
    normalize.fit(frames)
    gap = normalize(frames, torch.bfloat16).float() - normalize(frames, torch.float32)

    assert gap.abs().max() < 1.5 * float(normalize.scale)


@pytest.mark.parametrize("size", [16, 32, 64, 128])
@pytest.mark.parametrize("dim", [1, 6])
def test_an_encoder_takes_square_frames_of_any_multiple_of_16(size, dim):
    encoder = ConvEncoder(size, dim, width=4, hidden=8)
    assert encoder(torch.zeros(2, 3, size, size)).shape == (2, dim)


@pytest.mark.parametrize("position", [(0, 0), (0, 31), (31, 0), (31, 31), (15, 17)])
def test_every_pixel_influences_the_latent(position):
    torch.manual_seed(0)
    encoder = ConvEncoder(32, 4, width=8, hidden=32)
    frame = torch.zeros(1, 3, 32, 32, requires_grad=True)
    encoder(frame + torch.randn(1, 3, 32, 32)).square().sum().backward()

    assert (frame.grad[0, :, position[0], position[1]] != 0).all()


def test_a_frame_encoder_encodes_frames_independently_along_any_leading_axes():
    torch.manual_seed(0)
    encoder, frames = FrameEncoder(EncoderConfig(5, 4, 16, "fp32"), 16), make_frames(24)
    encoder.calibrate(frames)
    with torch.no_grad():
        flat, nested = encoder(frames), encoder(frames.unflatten(0, (2, 3, 4)))
        expected = encoder.net(encoder.normalize(frames, torch.float32))

    assert flat.shape == (24, encoder.dim) == (24, 5)
    assert torch.equal(nested, flat.unflatten(0, (2, 3, 4)))
    assert torch.equal(flat, expected)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "auto"])
def test_a_frame_encoder_returns_float32_and_does_not_change_its_input(precision):
    torch.manual_seed(0)
    encoder, frames = FrameEncoder(EncoderConfig(5, 4, 16, precision), 16), make_frames(24)
    before = frames.clone()

    assert encoder(frames).dtype == torch.float32
    assert (frames == before).all()


def test_frames_of_another_dtype_or_shape_are_refused():
    encoder, frames = FrameEncoder(EncoderConfig(5, 4, 16), 16), make_frames(2)
    for invalid in (frames.float(), frames[0]):
        with pytest.raises(ValueError, match="uint8"):
            encoder(invalid)
