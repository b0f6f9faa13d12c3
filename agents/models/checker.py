"""Check a custom world model against the contract, before an agent spends minutes training it."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from agents.models.frozen import FrozenEncoder
from agents.models.world_model import WorldModel

SEGMENTS, TICKS = 16, 4  # of the frames that the model is tried on
BATCH_TOLERANCE = 0.02  # of the largest entry: bf16 sums of a batch of another size round differently
ROW_TOLERANCE = 1e-4  # of the largest entry: in a batch of equal size the order of sums is the same


class WorldModelError(ValueError):
    """A world model breaks the contract; the message says where and how to fix it."""


def check_world_model(
    model: WorldModel,
    frame_size: int = 64,
    dim: int | None = None,
    rebuild: Callable[[], WorldModel] | None = None,
) -> None:
    """Check that a model meets the contract of agents.models.world_model.WorldModel, on copies.

    Agents rely on three things besides its signatures: a latent is a function of its frame alone, the loss
    draws from its generator alone, and the state dict is the whole model.

    Args:
        model: An untrained model.
        frame_size: Side of the square frames that it was built for.
        dim: Dimensions that it was built for; not checked where left out.
        rebuild: Builds a second model with other weights, to find tensors that two models share and state
            that a state dict leaves out.

    Raises:
        WorldModelError: The first breach found; the message says how to fix it.
    """
    with torch.random.fork_rng(devices=[]):
        _check_signature(model, dim)
        frames = (segments := _noise(frame_size)).flatten(0, 1)
        fresh, tried = _copy(model), _copy(model)
        tried.zero_grad(set_to_none=True)  # an old gradient would hide that none is computed
        _call_on_copy("calibrate", tried.calibrate, frames)
        unused = _copy(tried)  # encode may store something at its first call
        _check_encode(tried, frames)
        _check_independence(tried, frames)
        _check_predict(tried, frames)
        _check_loss(_copy(tried), segments)
        _check_randomness(tried, segments)
        _check_inference(unused, segments)
        _train_step(tried, segments)
        _check_state(tried, fresh, frames, "a copy made before calibration and training")
        if rebuild is not None:
            other = rebuild()
            _check_shared_tensors(model, other)
            _check_state(tried, _copy(other), frames, "a second model")


def check_frozen_encoder(encoder: nn.Module, frame_size: int = 64) -> None:
    """Check that a pretrained encoder can be an agent's, ``agents.kind=frozen:package.module:Class``.

    In evaluation mode a latent is a function of its frame alone: uint8 [N, H, W, 3] -> floating-point [N, D].

    Args:
        encoder: What the class or function returned.
        frame_size: Side of the square frames.

    Raises:
        WorldModelError: The first breach found; the message says how to fix it.
    """
    kind = type(encoder).__name__
    _require(isinstance(encoder, nn.Module), f"{kind} is not a torch.nn.Module; derive it from that")
    frames = _noise(frame_size).flatten(0, 1)
    with torch.random.fork_rng(devices=[]):
        encoder = encoder.eval()
        with torch.no_grad():
            latents = _call_on_copy(f"the encoder {kind}", encoder, frames)
        good = isinstance(latents, Tensor) and latents.ndim == 2 and len(latents) == len(frames)
        shape = tuple(latents.shape) if isinstance(latents, Tensor) else type(latents).__name__
        _require(good, f"{kind} returned {shape} for {len(frames)} frames; return one tensor [N, D]")
        assert isinstance(latents, Tensor)
        floating = latents.is_floating_point()
        _require(
            floating, f"{kind} returned {latents.dtype}; return floating-point numbers, end it with .float()"
        )
        moved = bool((latents.float().std(0) > 0).any())
        _require(moved, f"{kind} gives all frames one latent; check how it scales uint8 frames")
        model = FrozenEncoder(encoder, frame_size, latents.shape[1])
        _check_encode(model, frames)
        _check_independence(model, frames)


def _noise(frame_size: int) -> Tensor:
    shape, draw = (SEGMENTS, TICKS, frame_size, frame_size, 3), torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)


def _require(condition: bool | Tensor, message: str) -> None:
    if not condition:
        raise WorldModelError(message)


@contextmanager
def _reporting(what: str) -> Iterator[None]:
    """Raise any exception of the model's code as a WorldModelError."""
    try:
        yield
    except WorldModelError:
        raise
    except Exception as error:
        raise WorldModelError(f"{what} failed ({type(error).__name__}: {error}); fix it there") from error


def _check_signature(model: WorldModel, dim: int | None) -> None:
    kind = type(model).__name__
    _require(isinstance(model, nn.Module), f"{kind} is not a torch.nn.Module; derive it from WorldModel")
    for name in ("calibrate", "loss", "encode", "predict"):
        defined = callable(getattr(model, name, None))
        _require(defined, f"{kind} has no method {name}; derive it from WorldModel")
    found = getattr(model, "dim", None)
    valid = isinstance(found, int) and not isinstance(found, bool) and found >= 1
    _require(valid, f"{kind}.dim is {found!r}; set it in __init__ to the dimensions of encode, an int")
    _require(dim in (None, found), f"{kind}.dim is {found}; build it with the requested {dim} dimensions")
    trainable = any(weight.requires_grad for weight in model.parameters())
    _require(trainable, f"{kind} has no parameter to train; assign its layers in __init__, after super()")


def _copy(model: WorldModel) -> WorldModel:
    with _reporting("copying the model"):
        return copy.deepcopy(model)


def _call_on_copy(name: str, method: Callable[[Tensor], object], frames: Tensor) -> object:
    """Return the result of a method on frames, and check that the frames did not change."""
    given = frames.clone()
    with _reporting(f"{name} of uint8 {list(frames.shape)}"):
        result = method(given)
    _require((given == frames).all(), f"{name} overwrites its frames; work on a copy, as .float() makes")
    return result


def _encode(model: WorldModel, frames: Tensor) -> Tensor:
    """Return latents of frames in evaluation mode without a gradient, and check their type and shape."""
    model.eval()
    with torch.no_grad():
        latents = _call_on_copy("encode", model.encode, frames)
    if not isinstance(latents, Tensor):
        raise WorldModelError(f"encode returned {type(latents).__name__}; return one tensor [N, dim]")
    found, expected = tuple(latents.shape), (len(frames), model.dim)
    _require(
        found == expected, f"encode returned {found} for {len(frames)} frames; return [N, dim] = {expected}"
    )
    float32 = latents.dtype == torch.float32
    _require(float32, f"encode returned {latents.dtype}; return float32: end it with .float()")
    _require(
        torch.isfinite(latents).all(), "encode returned a value that is not finite; look for a division by 0"
    )
    return latents.cpu()


def _check_encode(model: WorldModel, frames: Tensor) -> None:
    first = _encode(model, frames)
    _encode(
        model, torch.zeros_like(frames[:2])
    )  # black frames have a latent too, and must not change later ones
    same = torch.equal(first, _encode(model, frames))
    _require(same, "encode gave equal frames different latents; in eval() let it draw and learn nothing")


def _check_independence(model: WorldModel, frames: Tensor) -> None:
    together = _encode(model, frames)
    size = together.abs().max() + 1e-6
    others = torch.cat([frames[:1], 255 - frames[1:].flip(0)])
    moved = (_encode(model, others)[0] - together[0]).abs().max()
    remedy = "in eval() use no statistics of the batch"
    _require(moved <= ROW_TOLERANCE * size, f"a latent depends on the other frames of its batch; {remedy}")
    alone = (_encode(model, frames[:1])[0] - together[0]).abs().max()
    _require(alone <= BATCH_TOLERANCE * size, f"a frame alone has another latent than in a batch; {remedy}")


def _check_predict(model: WorldModel, frames: Tensor) -> None:
    latent = _encode(model, frames)
    with _reporting(f"predict of {list(latent.shape)}"), torch.no_grad():
        expected = model.predict(latent.to(next(model.parameters()).device))
    good = isinstance(expected, Tensor) and expected.shape == latent.shape
    _require(good, f"predict of {tuple(latent.shape)} must return one tensor of that shape; fix predict")
    _require(torch.isfinite(expected).all(), "predict returned a value that is not finite; fix predict")


def _loss(model: WorldModel, segments: Tensor) -> Tensor:
    """Return the loss in training mode, and check its type and terms."""
    model.train()
    draw = torch.Generator().manual_seed(1)
    match _call_on_copy("loss", lambda given: model.loss(given, draw), segments):
        case (Tensor() as loss, Mapping() as terms):
            pass
        case other:
            found = type(other).__name__
            raise WorldModelError(f"loss returned {found}; return a pair: the loss and a dict of its terms")
    _require(loss.shape == (), f"loss returned a tensor {tuple(loss.shape)}; end it with .mean()")
    _require(torch.isfinite(loss), f"the loss of random frames is {loss.item()}; look for a division by 0")
    named = all(isinstance(name, str) and isinstance(term, float) for name, term in terms.items())
    _require(named, "the terms of a loss are floats by name; use term.item(), or memory keeps every step")
    return loss


def _check_loss(model: WorldModel, segments: Tensor) -> None:
    loss = _loss(model, segments)
    _require(loss.requires_grad, "the loss has no gradient; compute it from encode without detach or no_grad")
    _backward(loss, "the gradient of the loss")
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    missed = ", ".join(name for name, weight in weights.items() if weight.grad is None)
    _require(
        not missed, f"no gradient reaches {missed}; use it in the loss or call requires_grad_(False) on it"
    )
    gradients = [weight.grad for weight in weights.values() if weight.grad is not None]
    finite = all(torch.isfinite(gradient).all() for gradient in gradients)
    _require(
        finite, "a gradient of the loss is not finite; look for a root or a norm at 0 and add an epsilon"
    )
    moved = any(gradient.any() for gradient in gradients)
    _require(moved, "every gradient of the loss is 0; let the loss depend on encode")


def _check_randomness(model: WorldModel, segments: Tensor) -> None:
    values = []
    for seed in (0, 1):
        torch.manual_seed(seed)  # numbers that a model draws from the global generator now differ
        values.append(_loss(_copy(model), segments).item())
    remedy = "draw only from the generator passed to loss, and use no dropout"
    _require(values[0] == values[1], f"equal generators gave different losses; {remedy}")


def _check_inference(model: WorldModel, segments: Tensor) -> None:
    model.eval()
    with torch.inference_mode():
        _call_on_copy("encode in inference mode", model.encode, segments[0])
    model.train()
    with _reporting("training after encode in inference mode (does encode keep a tensor on the model?)"):
        model.loss(segments.clone(), torch.Generator().manual_seed(1))[0].backward()


def _train_step(model: WorldModel, segments: Tensor) -> None:
    """Train one step, so that the weights differ from those that were built."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    _backward(_loss(model, segments), "the gradient of the loss")
    optimizer.step()


def _backward(loss: Tensor, what: str) -> None:
    with _reporting(what):
        loss.backward()


def _check_state(model: WorldModel, other: WorldModel, frames: Tensor, name: str) -> None:
    state = model.state_dict()
    tensors = all(isinstance(value, Tensor) for value in state.values())
    _require(tensors, "the state dict holds more than tensors; keep only parameters and buffers in it")
    with _reporting(f"loading the state dict into {name}"):
        other.load_state_dict(state)
    same = torch.allclose(_encode(model, frames), _encode(other, frames), rtol=1e-4, atol=1e-5)
    remedy = "keep all that encode needs in parameters or buffers (register_buffer)"
    _require(same, f"{name} gives other latents after loading the state dict; {remedy}")


def _check_shared_tensors(model: WorldModel, other: WorldModel) -> None:
    ours, theirs = ({part.data_ptr(): name for name, part in _named_tensors(each)} for each in (model, other))
    shared = ", ".join(sorted(ours[address] for address in ours.keys() & theirs.keys() if address))
    _require(not shared, f"two models share {shared}; create every layer in __init__")


def _named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()
