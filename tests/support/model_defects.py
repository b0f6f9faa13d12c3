"""World models with one defect each, and the message that each must be refused with."""

import torch
from torch import nn

from agents.models.world_model import WorldModel

SIZE, DIM = 16, 3


class MinimalModel(WorldModel):
    """The smallest model that meets the contract: a linear encoder and a linear predictor."""

    def __init__(self):
        super().__init__()
        self.dim = DIM
        self.register_buffer("mean", torch.zeros(SIZE, SIZE, 3))
        self.encoder = nn.Linear(SIZE * SIZE * 3, DIM)
        self.predictor = nn.Linear(DIM, DIM)

    def calibrate(self, frames):
        self.mean.copy_(frames.float().mean(0))

    def encode(self, frames):
        return self.encoder((frames.float() - self.mean).flatten(1) / 255)

    def predict(self, latent):
        return self.predictor(latent)

    def loss(self, frames, generator):
        latent = self.encode(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        noise = torch.randn(DIM, generator=generator)
        loss = (self.predict(latent[:, :-1]) - latent[:, 1:] - noise).square().mean()
        return loss, {"prediction": loss.item()}


DEFECTS = {}


def defect(message):
    """A decorator: this class must be refused with this message."""

    def register(kind):
        DEFECTS[kind.__name__] = (kind, message)
        return kind

    return register


@defect("dim is None; set it in __init__")
class NoDim(MinimalModel):
    def __init__(self):
        super().__init__()
        self.dim = None


@defect("dim is 7; build it with the requested 3 dimensions")
class OtherDim(MinimalModel):
    def __init__(self):
        super().__init__()
        self.dim = 7


@defect("no parameter to train")
class Frozen(MinimalModel):
    def __init__(self):
        super().__init__()
        self.requires_grad_(False)


@defect("not a torch.nn.Module")
class NoModule:
    dim = DIM


@defect("has no method predict")
class NoPredict(nn.Module):
    dim, calibrate, loss, encode = DIM, MinimalModel.calibrate, MinimalModel.loss, MinimalModel.encode


@defect(r"calibrate of uint8 \[64, 16, 16, 3\] failed \(RuntimeError")
class CalibratesFloatsOnly(MinimalModel):
    def calibrate(self, frames):
        self.mean.copy_(frames.mean(0))


@defect("calibrate overwrites its frames")
class CalibratesInPlace(MinimalModel):
    def calibrate(self, frames):
        frames.div_(2, rounding_mode="floor")


@defect("encode overwrites its frames")
class EncodesInPlace(MinimalModel):
    def encode(self, frames):
        return super().encode(frames.bitwise_not_())


@defect("encode returned torch.float64; return float32")
class Double(MinimalModel):
    def encode(self, frames):
        return super().encode(frames).double()


@defect(r"encode returned \(64, 4\) for 64 frames")
class TooWide(MinimalModel):
    def encode(self, frames):
        return nn.functional.pad(super().encode(frames), (0, 1))


@defect("encode returned tuple")
class Pair(MinimalModel):
    def encode(self, frames):
        return super().encode(frames), None


@defect(r"encode returned \(3,\) for 1 frames")
class Squeezes(MinimalModel):
    def encode(self, frames):
        return super().encode(frames).squeeze(0)


@defect("encode returned a value that is not finite")
class NotFiniteForBlackFrames(MinimalModel):
    def encode(self, frames):
        return super().encode(frames) * frames.float().mean((1, 2, 3), keepdim=True).flatten(1).log()


@defect("different latents")
class Noisy(MinimalModel):
    def encode(self, frames):
        return super().encode(frames) + 0.1 * torch.randn(DIM)


@defect("different latents")
class LearnsWhileEncoding(MinimalModel):
    def encode(self, frames):
        self.mean.lerp_(frames.float().mean(0), 0.1)
        return super().encode(frames)


@defect("depends on the other frames of its batch")
class CentersTheBatch(MinimalModel):
    def encode(self, frames):
        latents = super().encode(frames)
        return latents - latents.mean(0)


@defect("depends on the other frames of its batch")
class NormalizesTheBatch(MinimalModel):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(DIM, track_running_stats=False)

    def encode(self, frames):
        return self.norm(super().encode(frames)) if len(frames) > 1 else super().encode(frames)


@defect("a frame alone has another latent")
class CountsTheBatch(MinimalModel):
    def encode(self, frames):
        return super().encode(frames) * len(frames)


@defect(r"predict of \(64, 3\) must return one tensor of that shape")
class PredictsTheMean(MinimalModel):
    def predict(self, latent):
        return super().predict(latent).mean(0)


@defect(r"predict of \[64, 3\] failed")
class PredictsOtherWidths(MinimalModel):
    def __init__(self):
        super().__init__()
        self.predictor = nn.Linear(DIM + 1, DIM)
