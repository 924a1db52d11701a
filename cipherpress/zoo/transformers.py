"""Vision transformers in plain tensor operations: torch.fx can trace them, and every projection is its own Linear.

There is a compact one for 28x28 images, and DeiT's shapes with random weights for cost and speed. Both take the mean
over tokens instead of a class token, so that there are as many tokens as patches (DeiT has one more).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

#: Spread of the initial position embedding, as in ViT and DeiT.
POSITION_DEVIATION = 0.02


@dataclass(frozen=True, kw_only=True)
class TransformerShape:
    """Sizes of a vision transformer: square images of `channels`, square patches, `depth` blocks of width `width`."""

    image: int
    channels: int
    patch: int
    width: int
    depth: int
    heads: int
    hidden: int
    classes: int

    @property
    def tokens(self) -> int:
        """Patches of an image; there is no class token."""
        return (self.image // self.patch) ** 2

    @property
    def parameters(self) -> int:
        """Weights, biases, normalizations and positions of the whole network, without building it."""
        norm = 2 * self.width
        attention = 4 * _dense(self.width, self.width)
        block = 2 * norm + attention + _dense(self.width, self.hidden) + _dense(self.hidden, self.width)
        embedding = _dense(self.channels * self.patch**2, self.width) + self.tokens * self.width
        return embedding + self.depth * block + norm + _dense(self.width, self.classes)


def _dense(inputs: int, outputs: int) -> int:
    return (inputs + 1) * outputs


COMPACT = TransformerShape(image=28, channels=1, patch=7, width=64, depth=3, heads=4, hidden=128, classes=10)
#: Touvron et al. 2021, table 1 (arXiv 2012.12877): width 384 or 768, 6 or 12 heads, 12 blocks, hidden layers 4x as
#: wide.
DEIT_S = TransformerShape(image=224, channels=3, patch=16, width=384, depth=12, heads=6, hidden=1536, classes=1000)
DEIT_B = TransformerShape(image=224, channels=3, patch=16, width=768, depth=12, heads=12, hidden=3072, classes=1000)


class PatchEmbedding(nn.Module):
    """Images (batch, channels, size, size) to tokens (batch, patches, width): one Linear over a patch's pixels."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.shape = shape
        self.projection = nn.Linear(shape.channels * shape.patch**2, shape.width)
        self.positions = nn.Parameter(torch.randn(shape.tokens, shape.width) * POSITION_DEVIATION)

    def forward(self, images: Tensor) -> Tensor:
        shape, side = self.shape, self.shape.image // self.shape.patch
        grid = images.reshape(-1, shape.channels, side, shape.patch, side, shape.patch)
        patches = grid.permute(0, 2, 4, 1, 3, 5).reshape(-1, shape.tokens, shape.channels * shape.patch**2)
        return self.projection(patches) + self.positions  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Multi-head self-attention, (batch, tokens, width) to the same; query, key, value and output are Linear layers."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.shape = shape
        self.query = nn.Linear(shape.width, shape.width)
        self.key = nn.Linear(shape.width, shape.width)
        self.value = nn.Linear(shape.width, shape.width)
        self.output = nn.Linear(shape.width, shape.width)

    def forward(self, tokens: Tensor) -> Tensor:
        head = self.shape.width // self.shape.heads
        scores = self._heads(self.query(tokens)) @ self._heads(self.key(tokens)).transpose(-2, -1)
        mixed = torch.softmax(scores * head**-0.5, dim=-1) @ self._heads(self.value(tokens))
        joined: Tensor = self.output(mixed.transpose(1, 2).reshape(-1, self.shape.tokens, self.shape.width))
        return joined

    def _heads(self, tokens: Tensor) -> Tensor:
        """(batch, tokens, width) to (batch, heads, tokens, width / heads)."""
        shape = self.shape
        return tokens.reshape(-1, shape.tokens, shape.heads, shape.width // shape.heads).transpose(1, 2)


class Block(nn.Module):
    """Attention, then two dense layers per token, each after a layer normalization and with a residual connection."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(shape.width)
        self.attention = Attention(shape)
        self.dense_norm = nn.LayerNorm(shape.width)
        self.expand = nn.Linear(shape.width, shape.hidden)
        self.activation = nn.GELU()
        self.contract = nn.Linear(shape.hidden, shape.width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(self.attention_norm(tokens))
        dense: Tensor = self.contract(self.activation(self.expand(self.dense_norm(tokens))))
        return tokens + dense


class VisionTransformer(nn.Module):
    """Patches, blocks, normalization, mean over tokens, one dense layer: images to class scores (batch, classes)."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.embedding = PatchEmbedding(shape)
        self.blocks = nn.Sequential(*(Block(shape) for _ in range(shape.depth)))
        self.norm = nn.LayerNorm(shape.width)
        self.head = nn.Linear(shape.width, shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embedding(images))).mean(dim=1))  # type: ignore[no-any-return]


def vit() -> nn.Module:
    """16 patches of 7x7, width 64, three blocks of four heads: about 100,000 parameters."""
    return VisionTransformer(COMPACT)


def deit_s() -> nn.Module:
    """DeiT-S's shape (22 million parameters) with random weights."""
    return VisionTransformer(DEIT_S)


def deit_b() -> nn.Module:
    """DeiT-B's shape (87 million parameters) with random weights."""
    return VisionTransformer(DEIT_B)
