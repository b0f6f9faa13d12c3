"""Pretrained encoders as agents: agents.kind=frozen:frozen_encoders:resnet18, or :vit_tiny.

They need torchvision or timm, which choose their weights: pass weights="DEFAULT", or pretrained=True.
"""

import torch
from torch import nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


class Frames(nn.Module):
    """An encoder of normalized float pictures [N, 3, H, W], for frames uint8 [N, H, W, 3]."""

    def __init__(self, encoder, size):
        super().__init__()
        self.encoder, self.size = encoder, size
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(STD)[:, None, None])

    def forward(self, frames):
        pictures = (frames.permute(0, 3, 1, 2) / 255 - self.mean) / self.std
        return self.encoder(nn.functional.interpolate(pictures, size=self.size, mode="bilinear"))


def resnet18(weights="DEFAULT"):
    """The features of a ResNet-18 before its classifier, 512 dimensions."""
    from torchvision.models import resnet18 as build

    encoder = build(weights=weights)
    encoder.fc = nn.Identity()
    return Frames(encoder, 224)


def vit_tiny(pretrained=True):
    """The pooled features of a small vision transformer, 192 dimensions."""
    import timm

    return Frames(timm.create_model("vit_tiny_patch16_224", pretrained=pretrained, num_classes=0), 224)
