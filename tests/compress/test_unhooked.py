"""A user's module with hooks of torch.nn.utils or in half precision, made ready to be worked on."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from compress.conversion.exporting import export_network
from compress.model.masking import WeightMask, layer_mask
from compress.model.unhooked import unhooked_copy
from compress.opq.baseline import magnitude


def old(norm, layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return norm(layer)


def norms():
    torch.manual_seed(0)
    return nn.Sequential(
        old(weight_norm, nn.Linear(4, 5)),
        old(spectral_norm, nn.Linear(5, 5)),
        parametrizations.weight_norm(nn.Linear(5, 5)),
        parametrizations.spectral_norm(nn.Linear(5, 5)),
        parametrizations.orthogonal(nn.Linear(5, 5)),
    ).eval()


def pruned():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)).eval()
    prune.l1_unstructured(module[0], "weight", 0.5)
    prune.random_unstructured(module[0], "bias", 2)
    return module


def test_norms_of_weights_are_written_into_them():
    module, x = norms(), torch.randn(3, 4)
    wanted = module(x)
    copied = unhooked_copy(module)
    torch.testing.assert_close(copied(x), wanted)
    assert [type(layer) for layer in copied] == [nn.Linear] * 5
    assert not any(layer._forward_pre_hooks for layer in copied)
    assert [name for name, _ in copied.named_parameters()][:2] == ["0.bias", "0.weight"]
    torch.testing.assert_close(module(x), wanted)  # the given module still works
    assert parametrize.is_parametrized(module[2])


def test_pruning_becomes_a_mask_that_training_keeps():
    module, x = pruned(), torch.randn(3, 4)
    copied = unhooked_copy(module)
    torch.testing.assert_close(copied(x), module(x))
    np.testing.assert_array_equal(layer_mask(copied[0]), module[0].weight_mask.numpy() != 0)
    copied[0].parametrizations.weight.original.data.fill_(1.0)
    assert int((copied[0].weight != 0).sum()) == 12
    copy.deepcopy(copied)


def test_our_own_parametrizations_stay():
    module = nn.Sequential(nn.Linear(3, 3))
    parametrize.register_parametrization(module[0], "weight", WeightMask(np.eye(3, dtype=bool)))
    assert layer_mask(unhooked_copy(module)[0]).sum() == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32(dtype):
    module = nn.Sequential(nn.Linear(4, 3)).to(dtype)
    copied = unhooked_copy(module)
    assert {part.dtype for part in copied.parameters()} == {torch.float32}
    torch.testing.assert_close(copied[0].weight.to(dtype), module[0].weight)
    assert next(unhooked_copy(nn.Linear(2, 2).double()).parameters()).dtype == torch.float64


@pytest.mark.parametrize("make", [norms, pruned, lambda: nn.Sequential(nn.Linear(4, 3)).half()])
def test_such_modules_are_exported(make):
    module = make().eval()
    images = np.random.default_rng(0).normal(size=(5, 4))
    found = export_network(module, (4,), images).run(images)
    wanted = module.float()(torch.tensor(images, dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_pruned_module_can_be_compressed():
    assert magnitude(pruned(), sparsity=0.5, bits=4).layers().keys() == {"0", "1"}
