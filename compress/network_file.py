"""A frozen Network on disk: a folder with `model.safetensors` (numbers) and `model.json` (everything else).

The JSON holds the hash of the tensor file and of itself, so a truncated or altered folder is refused. The same network
always gives the same bytes. This file does not import torch, because servers read networks without it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from compress.artifact import write_folder
from compress.errors import FormatError, shown
from compress.json_file import parse_object
from compress.network import (
    Add,
    Affine,
    AvgPool,
    AxisMap,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Gather,
    Input,
    Multiply,
    Network,
    Node,
    Permute,
    Polynomial,
    Range,
    Reshape,
    Weights,
)
from compress.node_shapes import shape_fault

KIND = "network"
FORMAT_VERSION = 1
TENSORS_FILE = "model.safetensors"
JSON_FILE = "model.json"

_NODE_TYPES: dict[str, type[Node]] = {
    cls.__name__.lower(): cls
    for cls in (Input, Dense, Conv, ConvTranspose, AvgPool, Affine, AxisMap, Gather, Concat, Multiply)
    + (Polynomial, Add, Reshape, Permute)
}
_TENSOR_FIELDS = frozenset({"bias", "scale", "shift", "coefficients", "indices", "matrix"})
_TUPLE_FIELDS = frozenset({"shape", "stride", "padding", "dilation", "kernel", "axes"})
_CODE_TYPES = (np.int8, np.int16, np.int32, np.int64, np.float64)
#: The longest name of a node.
LONGEST_NAME = 500
_HEADER_FIELDS = frozenset({"kind", "version", "tensors_sha256", "header_sha256", "nodes", "ranges", "about"})


def save_network(network: Network, folder: str | Path, force: bool = False) -> None:
    """Write the folder, whole or not at all; the same network gives the same bytes.

    Raises: as `compress.artifact.write_folder`.
    """
    tensors, header = network_bytes(network)
    write_folder(Path(folder), {TENSORS_FILE: tensors, JSON_FILE: header}, force=force)


def load_network(folder: str | Path) -> Network:
    """The network of a folder that `save_network` wrote.

    Raises: FormatError, naming file and field, for anything missing, truncated, altered or of another kind or version.
    """
    folder = Path(folder)
    found = {}
    for name in (JSON_FILE, TENSORS_FILE):
        try:
            found[name] = (folder / name).read_bytes()
        except OSError as error:
            raise FormatError(
                f"{folder / name}: cannot be read ({error.strerror}); give a folder that convert saved"
            ) from error
    return network_from_bytes(found[TENSORS_FILE], found[JSON_FILE], str(folder))


def network_bytes(network: Network) -> tuple[bytes, bytes]:
    """(contents of model.safetensors, contents of model.json); the same network gives the same bytes."""
    arrays: dict[str, NDArray[Any]] = {}
    nodes = [_node_entry(node, arrays) for node in network.nodes]
    tensors = save_tensors(dict(sorted(arrays.items())))
    header = {
        "kind": KIND,
        "version": FORMAT_VERSION,
        "tensors_sha256": hashlib.sha256(tensors).hexdigest(),
        "nodes": nodes,
        "ranges": {name: [edge.low, edge.high, edge.rms] for name, edge in network.ranges.items()},
        "about": dict(network.about),
    }
    header["header_sha256"] = _header_digest(header)
    return tensors, (json.dumps(header, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def network_from_bytes(tensors: bytes, header_bytes: bytes, where: str = "network") -> Network:
    """The network of the two files' contents; `where` names their folder in messages.

    Raises: FormatError.
    """
    json_name, tensors_name = f"{where}/{JSON_FILE}", f"{where}/{TENSORS_FILE}"
    header = parse_object(header_bytes, json_name)
    if header.get("kind") != KIND:
        kind = shown(header.get("kind"))
        raise FormatError(f"{json_name}: kind is {kind}; a converted network has kind '{KIND}', run convert first")
    if type(header.get("version")) is not int or header["version"] != FORMAT_VERSION:
        version = shown(header.get("version"))
        raise FormatError(f"{json_name}: version is {version}; this program reads {FORMAT_VERSION}, convert again")
    _same_keys(f"{json_name}: top level", header, _HEADER_FIELDS)
    if hashlib.sha256(tensors).hexdigest() != header["tensors_sha256"]:
        raise FormatError(
            f"{tensors_name}: its hash is not tensors_sha256 of {JSON_FILE}; truncated or altered, save it again"
        )
    try:
        arrays = load_tensors(tensors)
    except (SafetensorError, KeyError) as error:  # KeyError: numbers of a type that numpy lacks, such as BF16
        raise FormatError(f"{tensors_name}: not a safetensors file ({error}); save it again") from error
    nodes = _checked_nodes(header["nodes"], arrays, json_name)
    if arrays:
        raise FormatError(f"{tensors_name}: tensors that no node reads: {shown(sorted(arrays))}; save it again")
    network = Network(
        nodes=nodes, ranges=_checked_ranges(header["ranges"], nodes, json_name), about=_about(header, json_name)
    )
    if _header_digest(header) != header["header_sha256"]:
        raise FormatError(f"{json_name}: its contents do not match header_sha256; the file was altered, save it again")
    return network


def _header_digest(header: Mapping[str, Any]) -> str:
    """SHA-256 over the header without its own hash, written as JSON in one fixed way."""
    rest = {key: value for key, value in header.items() if key != "header_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _node_entry(node: Node, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """The JSON entry of a node; its arrays go into `arrays` as 'node name/field'."""
    entry: dict[str, Any] = {"type": type(node).__name__.lower()}
    for spec in fields(node):
        value = getattr(node, spec.name)
        if isinstance(value, Weights):
            arrays[f"{node.name}/codes"] = _contiguous(
                _smallest(value.codes) if value.bits is not None else value.codes
            )
            arrays[f"{node.name}/step"] = _contiguous(value.step)
            if value.mask is not None:
                arrays[f"{node.name}/mask"] = _contiguous(value.mask)
            entry["weights"] = {"bits": value.bits, "masked": value.mask is not None}
        elif spec.name in _TENSOR_FIELDS:
            kind = np.int64 if spec.name == "indices" else np.float64
            arrays[f"{node.name}/{spec.name}"] = _contiguous(np.asarray(value, dtype=kind))
        elif isinstance(value, tuple):
            entry[spec.name] = [item if isinstance(item, str) else int(item) for item in value]
        else:
            entry[spec.name] = value
    return entry


def _smallest(codes: NDArray[Any]) -> NDArray[Any]:
    """Codes in the smallest signed type that holds their magnitude."""
    largest = int(np.abs(codes.astype(np.int64)).max(initial=0))
    return codes.astype(next(kind for kind in (np.int8, np.int16, np.int32, np.int64) if largest <= np.iinfo(kind).max))


def _contiguous(array: NDArray[Any]) -> NDArray[Any]:
    return np.array(array, order="C", copy=True)


def _checked_nodes(entries: Any, arrays: dict[str, NDArray[Any]], where: str) -> tuple[Node, ...]:
    if not isinstance(entries, list) or not entries:
        raise FormatError(f"{where}: nodes is empty or no list; save it again")
    nodes: list[Node] = []
    shapes: dict[str, tuple[int, ...]] = {}
    for position, entry in enumerate(entries):
        field_name = f"{where}: nodes[{position}]"
        kind = entry.get("type") if isinstance(entry, dict) else None
        if not isinstance(kind, str) or kind not in _NODE_TYPES:
            raise FormatError(f"{field_name}.type: got {shown(kind)}; allowed: {', '.join(_NODE_TYPES)}")
        node = _node(entry, arrays, field_name)
        if isinstance(node, Input) is not (position == 0):
            raise FormatError(f"{field_name}: the first node, and only it, is the input; save it again")
        unknown = [name for name in node.inputs if name not in shapes]
        if unknown or node.name in shapes:
            raise FormatError(
                f"{field_name}: reads {shown(unknown)} or repeats the name {shown(node.name)}; "
                "nodes stand in execution order"
            )
        fault = shape_fault(node, [shapes[name] for name in node.inputs])
        if fault is not None:
            raise FormatError(f"{field_name}, '{node.name}': {fault}; save it again")
        shapes[node.name] = node.shape
        nodes.append(node)
    return tuple(nodes)


def _node(entry: dict[str, Any], arrays: dict[str, NDArray[Any]], where: str) -> Node:
    cls = _NODE_TYPES[entry["type"]]
    names = {spec.name for spec in fields(cls)}
    _same_keys(where, entry, ((names - _TENSOR_FIELDS) | {"type"}))
    name, inputs = entry["name"], entry["inputs"]
    if not isinstance(name, str) or len(name) > LONGEST_NAME or not isinstance(inputs, list):
        raise FormatError(f"{where}: name is a text of at most {LONGEST_NAME} characters, inputs a list; save it again")
    if not all(isinstance(source, str) for source in inputs):
        raise FormatError(f"{where}: inputs are {shown(inputs)}; names of nodes are needed")
    values: dict[str, Any] = {"name": name, "inputs": tuple(inputs)}
    for name in sorted(names - {"name", "inputs"}):
        if name == "weights":
            values[name] = _weights(entry, arrays, where)
        elif name in _TENSOR_FIELDS:
            values[name] = _tensor(arrays, entry["name"], name, where)
        elif name in _TUPLE_FIELDS:
            if not isinstance(entry[name], list) or not all(type(item) is int and item >= 0 for item in entry[name]):
                raise FormatError(f"{where}.{name}: got {shown(entry[name])}; a list of whole numbers is needed")
            values[name] = tuple(entry[name])
        else:
            least = 0 if name == "axis" else 1
            if type(entry[name]) is not int or entry[name] < least:
                raise FormatError(
                    f"{where}.{name}: got {shown(entry[name])}; a whole number of at least {least} is needed"
                )
            values[name] = entry[name]
    return cls(**values)


def _weights(entry: dict[str, Any], arrays: dict[str, NDArray[Any]], where: str) -> Weights:
    facts = entry["weights"]
    if not isinstance(facts, dict):
        raise FormatError(f"{where}.weights: got {shown(facts)}; an object is needed")
    _same_keys(f"{where}.weights", facts, frozenset({"bits", "masked"}))
    bits = facts["bits"]
    if bits is not None and (type(bits) is not int or not 1 <= bits <= 64):
        raise FormatError(f"{where}.weights.bits: got {shown(bits)}; 1 to 64, or null for float weights")
    codes = _tensor(arrays, entry["name"], "codes", where)
    if codes.dtype not in _CODE_TYPES or type(facts["masked"]) is not bool:
        raise FormatError(
            f"{where}.weights: codes of type {codes.dtype}, masked {shown(facts['masked'])}; save it again"
        )
    if (codes.dtype.kind == "i") is (bits is None):
        raise FormatError(
            f"{where}.weights.bits: got {bits!r} beside codes of type {codes.dtype}; integer codes carry their bits"
        )
    mask = _tensor(arrays, entry["name"], "mask", where) if facts["masked"] else None
    if mask is not None and (mask.shape != codes.shape or mask.dtype != np.bool_):
        raise FormatError(
            f"{where}.weights.masked: mask {mask.dtype} {mask.shape} beside codes {codes.shape}; save it again"
        )
    return Weights(codes=codes, step=_tensor(arrays, entry["name"], "step", where), bits=bits, mask=mask)


def _tensor(arrays: dict[str, NDArray[Any]], node: str, name: str, where: str) -> NDArray[Any]:
    """Take one tensor out of `arrays`, read-only."""
    key = f"{node}/{name}"
    if key not in arrays:
        raise FormatError(f"{where}: tensor '{key}' is missing in {TENSORS_FILE}; save it again")
    array = arrays.pop(key)
    if name == "indices" and array.dtype != np.int64:
        raise FormatError(f"{where}: tensor '{key}' is of type {array.dtype}; indices are int64")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise FormatError(f"{where}: tensor '{key}' has values that are not finite; convert again")
    array.setflags(write=False)
    return array


def _checked_ranges(found: Any, nodes: tuple[Node, ...], where: str) -> Mapping[str, Range]:
    names = {node.name for node in nodes}
    if not isinstance(found, dict) or not set(found) <= names:
        raise FormatError(f"{where}: ranges is no object over the nodes' names; save it again")
    for name, edge in found.items():
        right = (
            isinstance(edge, list)
            and len(edge) == 3
            and all(type(v) in (int, float) and math.isfinite(v) for v in edge)
        )
        if not right or not edge[0] <= edge[1] or edge[2] < 0:
            raise FormatError(f"{where}: ranges.{name}: got {shown(edge)}; [low, high, rms] is needed")
    return {name: Range(*map(float, edge)) for name, edge in found.items()}


def _about(header: dict[str, Any], where: str) -> dict[str, Any]:
    if not isinstance(header["about"], dict):
        raise FormatError(f"{where}: about is no object; save it again")
    return dict(header["about"])


def _same_keys(where: str, found: Mapping[str, Any], wanted: frozenset[str] | set[str]) -> None:
    missing, extra = sorted(wanted - set(found)), sorted(set(found) - wanted)
    if missing or extra:
        raise FormatError(f"{where}: missing {missing or 'nothing'}, unknown {extra or 'nothing'}; save it again")
