"""Linear attention of several heads, whole and encrypted: its two products of matrices are products of ciphertexts."""

import numpy as np
import pytest
import torch
from torch import nn

from compress.conversion.exporting import export_network
from compress.graph.importing import import_model
from secure.compiling.compile import compile_network
from secure.compiling.ways import Way
from secure.kernels.counts import TYPICAL_TIMES
from secure.limits import Limits
from secure.parties.client import Client
from secure.parties.server import Server
from secure.plan import Kind
from secure.verify.roundtrip import clear_outputs


class Attention(nn.Module):
    def __init__(self, tokens: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.tokens = heads, tokens
        self.q, self.k, self.v, self.mix = (nn.Linear(width, width) for _ in range(4))
        self.last = nn.Linear(tokens * width, 3)

    def forward(self, x):
        q, k, v = (own(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for own in (self.q, self.k, self.v))
        weights = (q @ k.transpose(-2, -1)) * 0.3 + 1 / self.tokens
        return self.last((x + self.mix((weights @ v).transpose(1, 2).flatten(2))).flatten(1))


@pytest.mark.parametrize("sizes", [(4, 4, 2), pytest.param((8, 8, 2), marks=pytest.mark.slow)])
def test_encrypted_attention_stays_within_its_bound_of_torch_on_both_backends(sizes, monkeypatch):
    monkeypatch.setattr("secure.compiling.compile.ways_of", lambda network: (Way.PRODUCTS,))
    torch.manual_seed(0)
    module, shape = Attention(*sizes).double().eval(), sizes[:2]
    rows = np.random.default_rng(0).normal(size=(64, *shape))
    with torch.no_grad():
        wanted = module(torch.tensor(rows)).numpy()
    network = export_network(import_model(module, shape).graph_module, shape, rows)
    limits = Limits(max_error=0.3 * float(np.sqrt(np.mean(wanted**2))), backends="both")
    bundle = compile_network(network, rows, times=TYPICAL_TIMES, limits=limits)
    plan = bundle.server.plan
    assert plan.count(Kind.MULTIPLY) >= 2
    assert plan.count(Kind.SQUARE) == 0
    np.testing.assert_allclose(clear_outputs(bundle, rows), wanted, atol=1e-5 * np.abs(wanted).max())
    for backend in ("engine", "seal"):
        client, server = Client(bundle.client), Server(bundle.server, backend=backend)
        server.register(client.evaluation_key)
        found = np.array([client.decrypt(server.run(client.encrypt(row))) for row in rows[:2]])
        assert np.abs(found - wanted[:2]).max() <= bundle.client.predicted_logit_error
