"""Small networks of tokens with linear attention, without softmax and normalization: nothing has to be trained."""

import numpy as np
import torch
from torch import nn

from compress.conversion.exporting import export_network
from compress.graph.importing import import_model


class Block(nn.Module):
    """Attention, then two dense layers with a square between them, each with a skip unless it is left out."""

    def __init__(self, tokens, width, heads, hidden, skips):
        super().__init__()
        self.heads, self.tokens, self.skips = heads, tokens, skips
        self.q, self.k, self.v, self.mix = (nn.Linear(width, width) for _ in range(4))
        self.expand, self.contract = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        q, k, v = (own(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for own in (self.q, self.k, self.v))
        weights = (q @ k.transpose(-2, -1)) * 0.3 + 1 / self.tokens
        mixed = self.mix((weights @ v).transpose(1, 2).flatten(2))
        x = x + mixed if self.skips else mixed
        dense = self.contract(torch.square(self.expand(x)))
        return x + dense if self.skips else dense


class Transformer(nn.Module):
    """An embedding, with or without a class token in front, blocks, and a dense layer of that token or of the mean."""

    def __init__(self, tokens, width, heads, hidden, depth, pixels, class_token, skips):
        super().__init__()
        self.embed, self.last = nn.Linear(pixels, width), nn.Linear(width, 3)
        self.token = nn.Parameter(torch.randn(1, 1, width)) if class_token else None
        made = tokens + class_token
        self.positions = nn.Parameter(0.1 * torch.randn(1, made, width))
        self.blocks = nn.Sequential(*(Block(made, width, heads, hidden, skips) for _ in range(depth)))

    def forward(self, x):
        x = self.embed(x)
        if self.token is not None:
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
        x = self.blocks(x + self.positions)
        return self.last(x.mean(dim=1) if self.token is None else x[:, 0])


def transformer(*, tokens=4, width=8, heads=2, hidden=16, depth=1, pixels=6, class_token=False, skips=True, count=64):
    """(The network, rows of inputs, torch's answers to them.)"""
    torch.manual_seed(0)
    module = Transformer(tokens, width, heads, hidden, depth, pixels, class_token, skips).double().eval()
    rows = np.random.default_rng(0).normal(size=(count, tokens, pixels))
    with torch.no_grad():
        wanted = module(torch.tensor(rows)).numpy()
    shape = rows.shape[1:]
    return export_network(import_model(module, shape).graph_module, shape, rows), rows, wanted
