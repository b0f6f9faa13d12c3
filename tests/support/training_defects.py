"""World models whose embeddings are sound, and whose loss, memory or state is not."""

import torch
from torch import nn

from tests.support.model_defects import DIM, SIZE, Sound, defect

SHARED = nn.Linear(DIM, DIM)


@defect("loss returned Tensor; return a pair")
class LossAlone(Sound):
    def loss(self, frames, generator):
        return super().loss(frames, generator)[0]


@defect(r"loss returned a tensor \(16,\); end it with .mean")
class LossOfEach(Sound):
    def loss(self, frames, generator):
        return super().loss(frames, generator)[0].expand(16), {}


@defect("the loss of random frames is nan")
class NoNumber(Sound):
    def loss(self, frames, generator):
        return super().loss(frames, generator)[0] * torch.nan, {}


@defect("floats by name; use part.item")
class PartsWithAGraph(Sound):
    def loss(self, frames, generator):
        loss, _ = super().loss(frames, generator)
        return loss, {"prediction": loss}


@defect("the loss has no gradient")
class Detached(Sound):
    def loss(self, frames, generator):
        loss, parts = super().loss(frames, generator)
        return loss.detach(), parts


@defect("no gradient reaches spare.weight, spare.bias")
class SpareLayer(Sound):
    def __init__(self):
        super().__init__()
        self.spare = nn.Linear(2, 2)


@defect("every gradient of the loss is 0")
class Unmoved(Sound):
    def loss(self, frames, generator):
        return 0 * super().loss(frames, generator)[0], {}


@defect("a gradient of the loss is not finite")
class RootAtZero(Sound):
    def loss(self, frames, generator):
        loss, parts = super().loss(frames, generator)
        return loss + (0 * loss).sqrt(), parts


@defect("equal generators gave other losses")
class OwnDice(Sound):
    def loss(self, frames, generator):
        return super().loss(frames, torch.default_generator)


@defect("equal generators gave other losses")
class Dropout(Sound):
    def encode(self, frames):
        return nn.functional.dropout(super().encode(frames), 0.5, self.training)


@defect("training after encode in inference mode .* failed")
class KeepsWhatItSaw(Sound):
    wide = None

    def encode(self, frames):
        if self.wide is None:
            self.wide = torch.eye(DIM)
        return super().encode(frames) @ self.wide.requires_grad_(False)


@defect("encodes otherwise after loading the state dict; keep all that encode needs")
class MeanOutsideTheState(Sound):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(SIZE, SIZE, 3), persistent=False)


@defect("another model built like it encodes otherwise after loading")
class WeightsOutsideTheState(Sound):
    def __init__(self):
        super().__init__()
        self.turn = torch.randn(DIM, DIM)

    def encode(self, frames):
        return super().encode(frames) @ self.turn


@defect("two models share predictor.bias, predictor.weight")
class SharesALayer(Sound):
    def __init__(self):
        super().__init__()
        self.predictor = SHARED


@defect("loading the state dict into .* failed")
class StateOfItsOwn(Sound):
    def state_dict(self, *args, **kwargs):
        return {"weights": torch.zeros(1)}


@defect("the state dict holds more than tensors")
class StateWithText(Sound):
    def get_extra_state(self):
        return "name"

    def set_extra_state(self, state):
        pass


@defect("copying the model failed")
class KeepsAGraph(Sound):
    def __init__(self):
        super().__init__()
        self.last = self.predictor.weight.sum()
