"""A vision transformer for 8x8 digits: `cipherpress train examples/vit.py:vit --data digits`, see docs/attention.md."""

import torch
from torch import nn


class ViT(nn.Module):
    """Patches of 4x4 pixels, a class token, positions, one block of two heads."""

    def __init__(self, dim: int = 16, patch: int = 4) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, dim, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = nn.Parameter(torch.randn(1, (8 // patch) ** 2 + 1, dim) * 0.02)
        self.block = nn.TransformerEncoderLayer(dim, 2, 2 * dim, 0.0, "gelu", batch_first=True, norm_first=True)
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.token.expand(images.shape[0], -1, -1), tokens), dim=1) + self.positions
        return self.head(self.norm(self.block(tokens))[:, 0])


def vit() -> nn.Module:
    """About 2,800 parameters."""
    return ViT()
