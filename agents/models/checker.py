"""Check a world model of a user's own against the contract, before an agent spends minutes training it."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from agents.models.world_model import WorldModel

SEGMENTS, TICKS = 16, 4  # of a loss that is tried
ROUNDING = 0.02  # of the largest entry: a batch of another size may be summed in another order, in bf16
NEIGHBOURS = 1e-4  # of the largest entry: in a batch of the same size nothing is summed otherwise


class WorldModelError(ValueError):
    """A world model breaks the contract; the text says where and how to mend it."""


def check_world_model(
    model: WorldModel,
    frame_size: int = 64,
    dim: int | None = None,
    rebuild: Callable[[], WorldModel] | None = None,
) -> None:
    """Raise WorldModelError, with a sentence that names the remedy, unless a model meets the contract.

    The contract is agents.models.world_model.WorldModel, and what agents rely on besides: a code is a
    function of its frame alone, losses are drawn from their generator alone, and the
    state dict is the whole model. All is tried on copies: the model, its gradients and torch's global stream
    stay as they were.

    Args:
        model: A model as it was built.
        frame_size: Side of the square frames it was built for.
        dim: Dimensions that it was built for; any, where left out.
        rebuild: Builds another one like it with other weights, to find what two of them share and what a
            state dict leaves out.
    """
    with torch.random.fork_rng(devices=[]):
        _check_face(model, dim)
        segments = _noise(frame_size)
        frames = segments.flatten(0, 1)
        fresh = _copy(model)
        tried = _copy(model)
        tried.zero_grad(set_to_none=True)  # an old gradient would hide that none comes
        _untouched("calibrate", tried.calibrate, frames)
        unused = _copy(tried)  # encode may keep something the first time it is called
        _check_embed(tried, frames)
        _check_independence(tried, frames)
        _check_predict(tried, frames)
        _check_loss(_copy(tried), segments)
        _check_draws(tried, segments)
        _check_inference(unused, segments)
        _step(tried, segments)
        _check_state(tried, fresh, frames, "a copy made before it was calibrated and trained")
        if rebuild is not None:
            other = rebuild()
            _check_apart(model, other)
            _check_state(tried, _copy(other), frames, "another model built like it")


def _noise(frame_size: int) -> Tensor:
    shape, draw = (SEGMENTS, TICKS, frame_size, frame_size, 3), torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)


def _require(holds: bool | Tensor, sentence: str) -> None:
    if not holds:
        raise WorldModelError(sentence)


@contextmanager
def _trying(what: str) -> Iterator[None]:
    """Turn whatever a stranger's code raises into a sentence."""
    try:
        yield
    except WorldModelError:
        raise
    except Exception as error:
        raise WorldModelError(f"{what} failed ({type(error).__name__}: {error}); mend it there") from error


def _check_face(model: WorldModel, dim: int | None) -> None:
    kind = type(model).__name__
    _require(isinstance(model, nn.Module), f"{kind} is no torch.nn.Module; derive it from WorldModel")
    for name in ("calibrate", "loss", "encode", "predict"):
        known = callable(getattr(model, name, None))
        _require(known, f"{kind} has no method {name}; derive it from WorldModel")
    found = getattr(model, "dim", None)
    whole = isinstance(found, int) and not isinstance(found, bool) and found >= 1
    _require(whole, f"{kind}.dim is {found!r}; set it in __init__ to the dimensions of encode, an int")
    _require(dim in (None, found), f"{kind}.dim is {found}; build it with the {dim} dimensions asked for")
    trainable = any(weight.requires_grad for weight in model.parameters())
    _require(trainable, f"{kind} has no parameter to train; assign its layers in __init__, after super()")


def _copy(model: WorldModel) -> WorldModel:
    with _trying("copying the model"):
        return copy.deepcopy(model)


def _untouched(name: str, method: Callable[[Tensor], object], frames: Tensor) -> object:
    """Call a method on frames and return what it returns, sure that it left the frames as they were."""
    given = frames.clone()
    with _trying(f"{name} of uint8 {list(frames.shape)}"):
        result = method(given)
    _require((given == frames).all(), f"{name} overwrites its frames; work on a copy, as .float() makes")
    return result


def _embed(model: WorldModel, frames: Tensor) -> Tensor:
    """Return the codes of frames, evaluating and without a gradient, sure of their type and shape."""
    model.eval()
    with torch.no_grad():
        codes = _untouched("encode", model.encode, frames)
    if not isinstance(codes, Tensor):
        raise WorldModelError(f"encode returned {type(codes).__name__}; return one tensor [N, dim]")
    found, wanted = tuple(codes.shape), (len(frames), model.dim)
    _require(found == wanted, f"encode returned {found} for {wanted[0]} frames; return [N, dim] = {wanted}")
    float32 = codes.dtype == torch.float32
    _require(float32, f"encode returned {codes.dtype}; return float32: end it with .float()")
    _require(
        torch.isfinite(codes).all(), "encode returned a value that is not finite; look for a division by 0"
    )
    return codes.cpu()


def _check_embed(model: WorldModel, frames: Tensor) -> None:
    first = _embed(model, frames)
    _embed(model, torch.zeros_like(frames[:2]))  # darkness has a code as well, and leaves no trace
    same = torch.equal(first, _embed(model, frames))
    _require(same, "encode gave equal frames other codes later; in eval() let it draw and learn nothing")


def _check_independence(model: WorldModel, frames: Tensor) -> None:
    together = _embed(model, frames)
    size = together.abs().max() + 1e-6
    strangers = torch.cat([frames[:1], 255 - frames[1:].flip(0)])
    moved = (_embed(model, strangers)[0] - together[0]).abs().max()
    remedy = "in eval() use no statistics of the batch"
    _require(moved <= NEIGHBOURS * size, f"a code depends on the other frames of its batch; {remedy}")
    alone = (_embed(model, frames[:1])[0] - together[0]).abs().max()
    _require(alone <= ROUNDING * size, f"a frame alone has another code than in a batch; {remedy}")


def _check_predict(model: WorldModel, frames: Tensor) -> None:
    latent = _embed(model, frames)
    with _trying(f"predict of {list(latent.shape)}"), torch.no_grad():
        expected = model.predict(latent.to(next(model.parameters()).device))
    good = isinstance(expected, Tensor) and expected.shape == latent.shape
    _require(good, f"predict of {tuple(latent.shape)} must return one tensor of that shape; mend predict")
    _require(torch.isfinite(expected).all(), "predict returned a value that is not finite; mend predict")


def _loss(model: WorldModel, segments: Tensor) -> Tensor:
    """Return a loss, training, sure of its type and of its parts."""
    model.train()
    draw = torch.Generator().manual_seed(1)
    match _untouched("loss", lambda given: model.loss(given, draw), segments):
        case (Tensor() as loss, Mapping() as parts):
            pass
        case other:
            found = type(other).__name__
            raise WorldModelError(f"loss returned {found}; return a pair: the loss and a dict of named parts")
    _require(loss.shape == (), f"loss returned a tensor {tuple(loss.shape)}; end it with .mean()")
    _require(torch.isfinite(loss), f"the loss of random frames is {loss.item()}; look for a division by 0")
    named = all(isinstance(name, str) and isinstance(part, float) for name, part in parts.items())
    _require(named, "the parts of a loss are floats by name; use part.item(), or memory keeps every step")
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


def _check_draws(model: WorldModel, segments: Tensor) -> None:
    values = []
    for seed in (0, 1):
        torch.manual_seed(seed)  # what a model draws from the global stream now differs
        values.append(_loss(_copy(model), segments).item())
    remedy = "draw from the generator that loss is given alone, and use no dropout"
    _require(values[0] == values[1], f"equal generators gave other losses; {remedy}")


def _check_inference(model: WorldModel, segments: Tensor) -> None:
    model.eval()
    with torch.inference_mode():
        _untouched("encode in inference mode", model.encode, segments[0])
    model.train()
    with _trying("training after encode in inference mode (does encode keep a tensor on the model?)"):
        model.loss(segments.clone(), torch.Generator().manual_seed(1))[0].backward()


def _step(model: WorldModel, segments: Tensor) -> None:
    """Train one step, so that the model differs from the one that was built."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    _backward(_loss(model, segments), "the gradient of the loss")
    optimiser.step()


def _backward(loss: Tensor, what: str) -> None:
    with _trying(what):
        loss.backward()


def _check_state(model: WorldModel, other: WorldModel, frames: Tensor, who: str) -> None:
    state = model.state_dict()
    tensors = all(isinstance(value, Tensor) for value in state.values())
    _require(tensors, "the state dict holds more than tensors; checkpoints keep parameters and buffers alone")
    with _trying(f"loading the state dict into {who}"):
        other.load_state_dict(state)
    same = torch.allclose(_embed(model, frames), _embed(other, frames), rtol=1e-4, atol=1e-5)
    remedy = "keep all that encode needs in parameters or register_buffer"
    _require(same, f"{who} encodes otherwise after loading the state dict; {remedy}")


def _check_apart(model: WorldModel, other: WorldModel) -> None:
    ours, theirs = ({part.data_ptr(): name for name, part in _parts(each)} for each in (model, other))
    shared = ", ".join(sorted(ours[place] for place in ours.keys() & theirs.keys() if place))
    _require(not shared, f"two models share {shared}; make every layer in __init__, each model its own")


def _parts(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()
