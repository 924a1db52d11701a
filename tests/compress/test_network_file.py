"""A Network on disk: exact round trip, the same bytes every time, and a typed refusal of anything else."""

import hashlib
import json
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from compress.errors import FormatError, OverwriteError
from compress.network import Gather
from compress.network_file import JSON_FILE, TENSORS_FILE, load_network, network_bytes, save_network
from tests.golden import make

ROOT = Path(__file__).parents[2]


@pytest.fixture
def saved(tmp_path):
    save_network(make.network(), tmp_path / "net")
    return tmp_path / "net"


def edit(folder, change):
    """Rewrite model.json after `change(header)`."""
    header = json.loads((folder / JSON_FILE).read_text())
    change(header)
    (folder / JSON_FILE).write_text(json.dumps(header))


def test_a_round_trip_is_exact(saved):
    network, loaded = make.network(), load_network(saved)
    images = np.random.default_rng(1).standard_normal((3, 1, 6, 6))
    np.testing.assert_array_equal(loaded.run(images), network.run(images))
    assert loaded.ranges == network.ranges
    assert loaded.about == network.about
    conv = loaded.node("conv")
    assert conv.weights.codes.dtype == np.int8
    assert conv.weights.bits == 4
    np.testing.assert_array_equal(conv.weights.mask, network.node("conv").weights.mask)
    assert network_bytes(loaded) == network_bytes(network)


def test_the_same_network_gives_the_same_bytes(saved, tmp_path):
    save_network(load_network(saved), tmp_path / "again")
    for name in (JSON_FILE, TENSORS_FILE):
        assert (saved / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_an_existing_folder_is_kept_unless_forced(saved):
    before = (saved / TENSORS_FILE).read_bytes()
    with pytest.raises(OverwriteError, match="exists; choose another output or pass --force"):
        save_network(make.network(), saved)
    assert (saved / TENSORS_FILE).read_bytes() == before
    save_network(replace(make.network(), about={"source": "second"}), saved, force=True)
    assert load_network(saved).about == {"source": "second"}


def test_nothing_else_is_left_beside_the_folder(saved):
    assert [path.name for path in saved.parent.iterdir()] == ["net"]
    assert sorted(path.name for path in saved.iterdir()) == [JSON_FILE, TENSORS_FILE]


@pytest.mark.parametrize("name", [JSON_FILE, TENSORS_FILE])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(FormatError, match=rf"{name}: cannot be read \(No such file"):
        load_network(saved)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_refused(saved, tmp_path, share):
    for name, text in ((JSON_FILE, "model.json: not valid JSON"), (TENSORS_FILE, "not tensors_sha256")):
        folder = tmp_path / f"cut-{name}"
        shutil.copytree(saved, folder)
        contents = (folder / name).read_bytes()
        (folder / name).write_bytes(contents[: int(len(contents) * share)])
        with pytest.raises(FormatError, match=text):
            load_network(folder)


def test_every_flipped_byte_of_the_tensors_is_refused(saved):
    contents = (saved / TENSORS_FILE).read_bytes()
    for position in range(0, len(contents), 97):
        changed = bytearray(contents)
        changed[position] ^= 1
        (saved / TENSORS_FILE).write_bytes(changed)
        with pytest.raises(FormatError, match="truncated or altered"):
            load_network(saved)


def test_numbers_of_a_type_that_numpy_lacks_are_refused(saved):
    content = json.dumps({"x": {"dtype": "BF16", "shape": [0], "data_offsets": [0, 0]}}).encode()
    tensors = struct.pack("<Q", len(content)) + content
    (saved / TENSORS_FILE).write_bytes(tensors)
    edit(saved, lambda header: header.update(tensors_sha256=hashlib.sha256(tensors).hexdigest()))
    with pytest.raises(FormatError, match="model.safetensors: not a safetensors file .'BF16'"):
        load_network(saved)


def test_indices_that_are_no_whole_numbers_are_refused(tmp_path):
    network = make.network2()
    gather = next(node for node in network.nodes if isinstance(node, Gather))
    save_network(network, tmp_path / "net")
    arrays = load_file(tmp_path / "net" / TENSORS_FILE)
    arrays[f"{gather.name}/indices"] = arrays[f"{gather.name}/indices"].astype(np.float32)
    tensors = save(arrays)
    (tmp_path / "net" / TENSORS_FILE).write_bytes(tensors)
    edit(tmp_path / "net", lambda header: header.update(tensors_sha256=hashlib.sha256(tensors).hexdigest()))
    with pytest.raises(FormatError, match=f"tensor '{gather.name}/indices' is of type float32; indices are int64"):
        load_network(tmp_path / "net")


def _node(header, name):
    return next(node for node in header["nodes"] if node["name"] == name)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda h: h.update(kind="bundle"), "model.json: kind is 'bundle'; a converted network has kind 'network'"),
        (lambda h: h.update(version=99), "version is 99; this program reads 1"),
        (lambda h: h.pop("ranges"), r"top level: missing \['ranges'\]"),
        (lambda h: h.update(extra=1), r"unknown \['extra'\]"),
        (lambda h: h.update(nodes=[]), "nodes is empty"),
        (lambda h: h["nodes"].pop(3), r"nodes\[3\]: reads \['act'\]"),
        (lambda h: h["nodes"].pop(0), r"nodes\[0\]: the first node"),
        (lambda h: _node(h, "conv").update(type="magic"), r"nodes\[2\].type: got 'magic'; allowed: input, dense"),
        (lambda h: _node(h, "conv").update(groups=0), r"nodes\[2\].groups: got 0; a whole number"),
        (
            lambda h: _node(h, "conv").update(stride=[1, "1"]),
            r"nodes\[2\].stride: got \[1, '1'\]; a list of whole numbers",
        ),
        (lambda h: _node(h, "conv").pop("padding"), r"nodes\[2\]: missing \['padding'\]"),
        (lambda h: _node(h, "conv").update(weights=3), r"nodes\[2\].weights: got 3; an object"),
        (
            lambda h: _node(h, "conv")["weights"].update(bits=None),
            r"nodes\[2\].weights.bits: got None beside codes of type int8",
        ),
        (lambda h: _node(h, "conv")["weights"].update(bits=65), r"nodes\[2\].weights.bits: got 65; 1 to 64"),
        (lambda h: _node(h, "conv")["weights"].update(masked=False), r"tensors that no node reads: \['conv/mask'\]"),
        (lambda h: _node(h, "fc")["weights"].update(masked=True), "tensor 'fc/mask' is missing in model.safetensors"),
        (lambda h: _node(h, "fc").update(name=5), "name is a text"),
        (lambda h: h["ranges"].update(fc=[1, 2]), r"ranges.fc: got \[1, 2\]"),
        (lambda h: h["ranges"].update(ghost=[0, 1, 1]), "ranges is no object over the nodes' names"),
        (lambda h: h.update(about=[]), "about is no object"),
        (lambda h: _node(h, "conv").update(dilation=[2, 2]), r"'conv': shape \(2, 6, 6\), its fields make \(2, 4, 4\)"),
        (lambda h: _node(h, "conv").update(type=["conv"]), r"nodes\[2\].type: got \['conv'\]; allowed: input, dense"),
        (lambda h: _node(h, "conv").update(padding=[2**40, 1]), "padding .* make more than 67108864 elements"),
        (lambda h: _node(h, "act").update(inputs=["conv", "conv"]), "'act': it reads 2 values; allowed: 1 to 1"),
        (lambda h: _node(h, "flat").update(shape=[2**40]), "'flat': shape .* allowed: up to 8 sizes of at least 1"),
        (lambda h: _node(h, "flat").update(name="n" * 501), "name is a text of at most 500 characters"),
        (lambda h: _node(h, "flat").update(inputs=[["turn"]]), "inputs are .*; names of nodes are needed"),
        (lambda h: h["about"].update(accuracy_after=1.0), "its contents do not match header_sha256"),
    ],
)
def test_an_altered_header_names_the_field(saved, change, text):
    edit(saved, change)
    with pytest.raises(FormatError, match=text):
        load_network(saved)


def test_reading_needs_no_torch(saved):
    code = (
        "import sys; from compress.network_file import load_network; "
        f"print(len(load_network({str(saved)!r}).nodes), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"{len(load_network(saved).nodes)} False\n"
