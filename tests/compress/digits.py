"""Handwritten digits of 8 x 8 pixels, and a short training on them."""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from compress.dataset import Dataset


def digits(shape=(64,)):
    raw = load_digits()
    x, y = (raw.data / 16).astype(np.float32).reshape(-1, *shape), raw.target
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:1437], order[1437:]
    return Dataset("digits", x[train], y[train], x[test], y[test])


def trained(model, data, steps=700):
    """The model after so many steps on 64 rows each."""
    x, y = torch.from_numpy(data.x_train), torch.as_tensor(data.y_train)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        batch = torch.randint(0, len(x), (64,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
        rates.step()
    return model.eval()
