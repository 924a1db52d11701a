"""Joined: a module of several inputs or outputs as one that takes flat rows and gives one tensor.

It shares every submodule, parameter and attribute with the module, under the same names. Saved weights and names of
layers are therefore those of the module.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from compress.dataset import Dataset
from compress.errors import InputShapeError
from compress.labels import check_text
from compress.model.compressed import CompressedModel, module_of
from compress.model.precision import in_precision
from compress.parts import Part, places

Model = TypeVar("Model", bound=nn.Module | CompressedModel)

logger = logging.getLogger(__name__)


class Joined(nn.Module):
    """The module with its inputs cut out of flat rows (batch, size), and its outputs flat, one after the other.

    input_parts: empty for a module of one input, which gets the rows as they are. output_parts: empty for one output,
    which keeps its shape.
    """

    joined_module: nn.Module
    input_parts: tuple[Part, ...]
    output_parts: tuple[Part, ...]

    def __init__(self, module: nn.Module, input_parts: tuple[Part, ...], output_parts: tuple[Part, ...] = ()) -> None:
        super().__init__()
        self.__dict__.update(module.__dict__)
        self.__dict__.update(joined_module=module, input_parts=input_parts, output_parts=output_parts)

    def forward(self, rows: Tensor) -> Tensor:
        """Flat rows, or the one input, to the one output, or all outputs flat: (batch, size)."""
        outputs = [tensor for _, tensor in _tensors(self.outputs(rows))]
        if len(outputs) == 1:
            return outputs[0]
        return torch.cat([tensor.reshape(tensor.shape[0], -1) for tensor in outputs], dim=1)

    def outputs(self, rows: Tensor) -> Any:
        """What the module itself returns."""
        forward = self.joined_module.forward
        if not self.input_parts:
            return forward(rows)
        values = {
            part.name: rows[:, place].reshape(rows.shape[0], *part.shape)
            for part, place in zip(self.input_parts, places(self.input_parts), strict=True)
        }
        parameters = inspect.signature(forward).parameters
        if values.keys() <= parameters.keys():
            return forward(**values)
        if len(parameters) == 1 and not _numbered(self.input_parts):
            return forward(values)
        return forward(*values.values())

    def train(self, mode: bool = True) -> Joined:
        super().train(mode)
        self.joined_module.training = mode
        return self


def joined(model: Model, data: Dataset) -> tuple[Model, Dataset]:
    """The model as one of flat rows and one output, and the data without labels that say nothing about several outputs.

    Both stay the same objects for a module that takes one tensor and returns one.
    Raises: InputShapeError for parts that the module does not take, and for outputs that are no tensors; DataError for
    names of outputs with control characters.
    """
    module = module_of(model)
    if isinstance(module, Joined):
        return model, _labels_of_all(replace(data, output_parts=module.output_parts)) if module.output_parts else data
    whole = Joined(module, data.input_parts)
    rows = in_precision(torch.from_numpy(np.ascontiguousarray(data.x_train[:2])), module)
    module.eval()
    try:
        with torch.no_grad():
            found = whole.outputs(rows)
    except Exception as error:  # the user's code runs here
        if not data.input_parts:
            return model, data  # the shape is checked, and named, where the layers are known
        parts = ", ".join(map(str, data.input_parts))
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputShapeError(
            f"data '{data.name}': the network does not take the inputs {parts} ({reason}); "
            "name them like the arguments of its forward, or give them in their order"
        ) from error
    if isinstance(found, Tensor) and not data.input_parts:
        return model, data
    outputs = _checked(_tensors(found), len(rows))
    check_text("network: names of outputs", [name for name, _ in outputs])
    if len(outputs) > 1:
        whole.__dict__["output_parts"] = tuple(Part(name, tuple(tensor.shape[1:])) for name, tensor in outputs)
        data = _labels_of_all(replace(data, output_parts=whole.output_parts))
    put: Any = replace(model, module=whole) if isinstance(model, CompressedModel) else whole
    return put, data


def parts_record(module: nn.Module) -> dict[str, Any]:
    """Names and shapes of several inputs and outputs, as a network's record has them; empty for one of each."""
    if not isinstance(module, Joined):
        return {}
    return {
        key: [part.as_json() for part in parts]
        for key, parts in (("inputs", module.input_parts), ("outputs", module.output_parts))
        if parts
    }


def _tensors(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """What a forward returned as names and tensors: keys of mappings, positions in tuples, joined by dots."""
    if isinstance(value, Mapping):
        named = [(str(key), part) for key, part in value.items()]
    elif isinstance(value, list | tuple):
        named = [(str(index), part) for index, part in enumerate(value)]
    else:
        return [(name, value)]
    return [found for key, part in named for found in _tensors(part, f"{name}.{key}" if name else key)]


def _checked(outputs: list[tuple[str, Any]], count: int) -> list[tuple[str, Tensor]]:
    for name, tensor in outputs:
        if not isinstance(tensor, Tensor) or not tensor.ndim or len(tensor) != count:
            found = f"shape {tuple(tensor.shape)}" if isinstance(tensor, Tensor) else type(tensor).__name__
            raise InputShapeError(
                f"output '{name}': {found} for {count} rows; return tensors with one row for each input"
            )
    if not outputs:
        raise InputShapeError("output: the network returns no tensors; return what its layers make")
    return outputs


def _labels_of_all(data: Dataset) -> Dataset:
    """The data with labels only if they are numbers for all outputs together."""
    size = sum(part.size for part in data.output_parts)
    if data.y_train is None or data.task is not None or data.y_train.ndim > 1 and data.y_train[0].size == size:
        return data
    logger.warning("labels are not used: they are not numbers for all outputs of the network together")
    return replace(data, y_train=None, y_test=None)


def _numbered(parts: tuple[Part, ...]) -> bool:
    return all(part.name == str(index) for index, part in enumerate(parts))
