"""torch's own attention, written out as operations that have a rule: projections, products and a softmax.

`nn.MultiheadAttention`, `nn.TransformerEncoderLayer` and `nn.TransformerEncoder` choose among several kernels by tests
of their values, which cannot be traced. Here stands what they compute in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from compress.errors import UnsupportedLayerError
from compress.graph.unsupported import unsupported


def attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    """softmax(scale q k^T) v, over the last two axes. The arguments are those of F.scaled_dot_product_attention."""
    if attn_mask is not None or is_causal:
        raise _refused(query, "with a mask", "attend to all tokens: leave the mask out")
    if enable_gqa:
        raise _refused(query, "with enable_gqa", "repeat keys and values for every head of queries")
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    return torch.softmax((query * factor) @ key.transpose(-2, -1), dim=-1) @ value


def _refused(value: Any, reason: str, advice: str) -> UnsupportedLayerError:
    """The error for attention of a traced value, at the module that is being traced."""
    return unsupported(value.tracer.scope.module_path or "forward", "attention", reason, advice)


def _multihead(
    module: nn.MultiheadAttention, query: Any, key: Any, value: Any, key_padding_mask: Any = None,
    need_weights: bool = True, attn_mask: Any = None, average_attn_weights: bool = True, is_causal: bool = False,
) -> Any:  # fmt: skip
    """(outputs, weights or None), as nn.MultiheadAttention answers them."""
    if key_padding_mask is not None or attn_mask is not None or is_causal:
        raise _refused(query, "with a mask", "attend to all tokens: leave the mask out")
    if module.bias_k is not None or module.add_zero_attn:
        raise _refused(query, "with add_bias_kv or add_zero_attn", "leave these options out")
    if query.dim() != 3:
        raise _refused(query, f"of {query.dim()} axes", "give values of three axes: batch, tokens, features")
    own = (_turned(module, query),) * 3
    sources = own if query is key is value else (own[0], _turned(module, key), _turned(module, value))
    split = [_heads(part, module.num_heads) for part in _projected(module, *sources)]
    scores = (split[0] * module.head_dim**-0.5) @ split[1].transpose(-2, -1)
    weights = torch.softmax(scores, dim=-1)
    outputs = module.out_proj((weights @ split[2]).transpose(1, 2).flatten(2))
    shown = weights.mean(dim=1) if average_attn_weights else weights
    return _turned(module, outputs), shown if need_weights else None


def _turned(module: Any, x: Any) -> Any:
    """The value with its batch axis first, or back again, where the module wants tokens first (batch_first=False)."""
    return x if module.batch_first else x.transpose(0, 1)


def _projected(module: nn.MultiheadAttention, query: Any, key: Any, value: Any) -> list[Any]:
    """Queries, keys and values before they are split into heads."""
    bias = module.in_proj_bias
    if module.in_proj_weight is not None and query is key is value:
        return list(F.linear(query, module.in_proj_weight, bias).chunk(3, dim=-1))
    if module.in_proj_weight is None:
        weights: Any = (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
    else:
        weights = module.in_proj_weight.chunk(3)
    biases: Any = (None,) * 3 if bias is None else bias.chunk(3)
    return [F.linear(x, weight, own) for x, weight, own in zip((query, key, value), weights, biases, strict=True)]


def _heads(x: Any, heads: int) -> Any:
    """(batch, tokens, features) to (batch, heads, tokens, features / heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _encoder_layer(
    module: nn.TransformerEncoderLayer, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None,
    is_causal: bool = False,
) -> Any:  # fmt: skip
    attend, x = module.self_attn, _turned(module.self_attn, src)

    def mixed(x: Any) -> Any:
        x = _turned(attend, x)
        options = {"attn_mask": src_mask, "key_padding_mask": src_key_padding_mask, "is_causal": is_causal}
        return module.dropout1(_turned(attend, attend(x, x, x, need_weights=False, **options)[0]))

    def dense(x: Any) -> Any:
        activation: Any = module.activation
        return module.dropout2(module.linear2(module.dropout(activation(module.linear1(x)))))

    if module.norm_first:
        x = x + mixed(module.norm1(x))
        x = x + dense(module.norm2(x))
    else:
        x = module.norm1(x + mixed(x))
        x = module.norm2(x + dense(x))
    return _turned(attend, x)


def _encoder(
    module: nn.TransformerEncoder, src: Any, mask: Any = None, src_key_padding_mask: Any = None,
    is_causal: bool | None = None,
) -> Any:  # fmt: skip
    attend: Any = module.layers[0].self_attn
    options = {"src_mask": mask, "src_key_padding_mask": src_key_padding_mask, "is_causal": bool(is_causal)}
    for layer in module.layers:
        src = layer(src, **options)
    return src if module.norm is None else _turned(attend, module.norm(_turned(attend, src)))


_FORWARDS: Mapping[type[nn.Module], Callable[..., Any]] = MappingProxyType({
    nn.MultiheadAttention: _multihead,
    nn.TransformerEncoderLayer: _encoder_layer,
    nn.TransformerEncoder: _encoder,
})  # fmt: skip
OPENED: tuple[type[nn.Module], ...] = tuple(_FORWARDS)


def in_parts(module: nn.Module) -> Callable[..., Any] | None:
    """The forward of one of torch's modules above, written out; None for any other module."""
    kind = next((kind for kind in OPENED if isinstance(module, kind) and type(module).forward is kind.forward), None)
    return None if kind is None else partial(_FORWARDS[kind], module)
