"""World models with a defect in their loss, their state dict or what they store."""

import torch
from torch import nn

from tests.support.model_defects import DIM, SIZE, MinimalModel, defect

SHARED = nn.Linear(DIM, DIM)


@defect("loss returned Tensor; return a pair")
class LossAlone(MinimalModel):
    def loss(self, frames, generator):
        return super().loss(frames, generator)[0]


@defect(r"loss returned a tensor \(16,\); end it with .mean")
class UnreducedLoss(MinimalModel):
    def loss(self, frames, generator):
        return super().loss(frames, generator)[0].expand(16), {}


@defect("the loss of random frames is nan")
class NanLoss(MinimalModel):
    def loss(self, frames, generator):
        return super().loss(frames, generator)[0] * torch.nan, {}


@defect("floats by name; use term.item")
class TermsWithAGraph(MinimalModel):
    def loss(self, frames, generator):
        loss, _ = super().loss(frames, generator)
        return loss, {"prediction": loss}


@defect("the loss has no gradient")
class Detached(MinimalModel):
    def loss(self, frames, generator):
        loss, terms = super().loss(frames, generator)
        return loss.detach(), terms


@defect("no gradient reaches spare.weight, spare.bias")
class SpareLayer(MinimalModel):
    def __init__(self):
        super().__init__()
        self.spare = nn.Linear(2, 2)


@defect("every gradient of the loss is 0")
class ZeroGradient(MinimalModel):
    def loss(self, frames, generator):
        return 0 * super().loss(frames, generator)[0], {}


@defect("a gradient of the loss is not finite")
class RootAtZero(MinimalModel):
    def loss(self, frames, generator):
        loss, terms = super().loss(frames, generator)
        return loss + (0 * loss).sqrt(), terms


@defect("equal generators gave different losses")
class DrawsFromTheGlobalGenerator(MinimalModel):
    def loss(self, frames, generator):
        return super().loss(frames, torch.default_generator)


@defect("equal generators gave different losses")
class Dropout(MinimalModel):
    def encode(self, frames):
        return nn.functional.dropout(super().encode(frames), 0.5, self.training)


@defect("training after encode in inference mode .* failed")
class StoresATensor(MinimalModel):
    wide = None

    def encode(self, frames):
        if self.wide is None:
            self.wide = torch.eye(DIM)
        return super().encode(frames) @ self.wide.requires_grad_(False)


@defect("gives other latents after loading the state dict; keep all that encode needs")
class MeanOutsideTheState(MinimalModel):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(SIZE, SIZE, 3), persistent=False)


@defect("a second model gives other latents after loading")
class WeightsOutsideTheState(MinimalModel):
    def __init__(self):
        super().__init__()
        self.rotation = torch.randn(DIM, DIM)

    def encode(self, frames):
        return super().encode(frames) @ self.rotation


@defect("two models share predictor.bias, predictor.weight")
class SharesALayer(MinimalModel):
    def __init__(self):
        super().__init__()
        self.predictor = SHARED


@defect("loading the state dict into .* failed")
class UnloadableState(MinimalModel):
    def state_dict(self, *args, **kwargs):
        return {"weights": torch.zeros(1)}


@defect("the state dict holds more than tensors")
class StateWithText(MinimalModel):
    def get_extra_state(self):
        return "name"

    def set_extra_state(self, state):
        pass


@defect("copying the model failed")
class KeepsAGraph(MinimalModel):
    def __init__(self):
        super().__init__()
        self.last = self.predictor.weight.sum()
