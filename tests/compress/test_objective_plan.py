"""OPQ's encrypted objective in a zoo network's plan: fewer bits of codes, no more bits of scale, equal operations."""

import pytest

import cipherpress as cp
from benchmarks.objective import plaintext_scale_bits
from compress.conversion.options import Conversion
from secure.drafting.work import plan_operations


@pytest.mark.slow
def test_the_encrypted_objective_asks_for_no_more_scale_than_storage_does():
    data = cp.load_data("mnist")
    small = {
        objective: cp.opq(cp.load_model("mlp"), sparsity=0.5, bits=4.5, objective=objective)
        for objective in ("storage", "encrypted")
    }
    bits = {name: [layer.bits for layer in model.layers().values()] for name, model in small.items()}
    assert sum(bits["encrypted"]) <= 9 < sum(bits["storage"])  # the sum over two layers
    bundles = {
        name: cp.compile(cp.convert(model, data, Conversion(epochs=1)), data, cp.Limits(max_error=1.0))
        for name, model in small.items()
    }
    stored, encrypted = (bundles[name].server.plan for name in ("storage", "encrypted"))
    assert plan_operations(stored) == plan_operations(encrypted)
    # each was trained for itself, so that they tolerate errors that differ by a fraction of a bit
    assert plaintext_scale_bits(encrypted) <= plaintext_scale_bits(stored) + 0.5
    # the compiler writes numbers, not codes: the network's tolerance sets the modulus, not the widest code
    assert encrypted.params.log2_qp == pytest.approx(stored.params.log2_qp, abs=1.0)
