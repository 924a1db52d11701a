"""Saved models: the same network is loaded, the same bytes are saved again, and every kind of damage is named."""

import json
import struct
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from compress.errors import FormatError, ModelError, OverwriteError
from compress.model.compressed import CompressedModel
from compress.model.record import read_record
from compress.model.saved import load_model_folder, save_model
from compress.opq.opq import opq


@dataclass(frozen=True)
class Source:
    kind: str
    name: str
    file: str | None = None
    sha256: str | None = None


def net(hidden=12):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(36, hidden),
        nn.GELU(),
        nn.Linear(hidden, 3),
    ).eval()


def compressed(granularity="layer", source=None):
    torch.manual_seed(0)
    module = net()
    if source is not None:
        module.cipherpress_source = source
    return opq(module, sparsity=0.6, bits=4, granularity=granularity)


@pytest.fixture
def folder(tmp_path):
    save_model(compressed(), tmp_path / "m")
    return tmp_path / "m"


def rewrite(folder, **changes):
    """Change fields of model.json; a value is a function of the old one, and None removes the field."""
    path = folder / "model.json"
    header = json.loads(path.read_text())
    for field, change in changes.items():
        if change is None:
            del header[field]
        else:
            header[field] = change(header.get(field))
    path.write_text(json.dumps(header))


def rewrite_tensors(folder, change):
    """Change the tensors and update the hash, as somebody who knows the format would."""
    import hashlib

    path = folder / "model.safetensors"
    tensors = load(path.read_bytes())
    change(tensors)
    path.write_bytes(save(tensors))
    rewrite(folder, tensors_sha256=lambda _: hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("granularity", ["layer", "channel"])
def test_the_same_network_comes_back(tmp_path, granularity):
    small = compressed(granularity)
    save_model(small, tmp_path / "m")
    loaded = load_model_folder(tmp_path / "m", net())
    x = torch.randn(5, 1, 8, 8)
    assert torch.equal(loaded.module(x), small.module(x))
    assert (loaded.history, loaded.source, loaded.input_shape) == (small.history, small.source, small.input_shape)
    for name, layer in small.layers().items():
        back = loaded.layers()[name]
        assert (back.codes == layer.codes).all() and (back.mask == layer.mask).all()
        assert (back.log2_step == layer.log2_step).all() and back.levels == layer.levels


def test_saving_again_gives_the_same_bytes(tmp_path, folder):
    save_model(load_model_folder(folder, net()), tmp_path / "again")
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.safetensors"]


def test_double_precision_and_input_shape_are_kept(tmp_path):
    small = opq(nn.Sequential(nn.Linear(6, 3)).double(), sparsity=0.5)
    small = small.after(small.module, input_shape=(6,), method="note")
    save_model(small, tmp_path / "m")
    loaded = load_model_folder(tmp_path / "m", nn.Sequential(nn.Linear(6, 3)))
    assert loaded.input_shape == (6,)
    assert torch.equal(loaded.module(torch.ones(1, 6).double()), small.module(torch.ones(1, 6).double()))


def test_the_given_module_is_not_changed(folder):
    module = net()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    load_model_folder(folder, module)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_existing_folders_are_kept_without_force(folder):
    before = (folder / "model.json").read_bytes()
    with pytest.raises(OverwriteError, match="exists; choose another output or pass --force"):
        save_model(compressed("channel"), folder)
    assert (folder / "model.json").read_bytes() == before
    save_model(compressed("channel"), folder, force=True)
    assert (folder / "model.json").read_bytes() != before
    assert [path.name for path in folder.parent.iterdir()] == ["m"]


def test_records_say_what_the_model_is(folder):
    record = read_record(folder)
    assert record["source"] == {"kind": "python", "name": "Sequential"}
    assert [entry["layer"] for entry in record["layers"]] == ["0", "4", "6"]
    assert record["architecture"]["0"] == "Conv2d(1, 4, kernel_size=(3, 3), stride=(2, 2))"


def test_loading_without_the_module_is_refused(folder):
    with pytest.raises(ModelError, match="made from python model 'Sequential'; give that model too"):
        load_model_folder(folder)


def test_another_architecture_is_refused_by_layer(folder):
    with pytest.raises(
        ModelError, match=r"layer '4' is Linear\(in_features=36, out_features=12.* there and .*out_features=13"
    ):
        load_model_folder(folder, net(hidden=13))


def test_a_factory_file_that_changed_is_refused(tmp_path):
    save_model(compressed(source=Source("factory", "make", "net.py", "ab" * 32)), tmp_path / "m")
    other = net()
    with pytest.raises(
        ModelError, match="made from net.py:make with sha256 abababababab..., not from python model 'Sequential'"
    ):
        load_model_folder(tmp_path / "m", other)
    other.cipherpress_source = Source("factory", "make", "net.py", "cd" * 32)
    with pytest.raises(ModelError, match="not from net.py as it is now; give the file it was made from"):
        load_model_folder(tmp_path / "m", other)
    other.cipherpress_source = Source("factory", "make", "renamed.py", "ab" * 32)
    assert load_model_folder(tmp_path / "m", other).source["file"] == "net.py"


def test_half_precision_is_refused(tmp_path):
    small = CompressedModel(module=nn.Linear(2, 2).half())
    with pytest.raises(ModelError, match="parameters: of type float16; only one of float32, float64 can be saved"):
        save_model(small, tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_missing_and_truncated_files_are_refused(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(FormatError, match=f"{name}: .*truncated or altered"):
        load_model_folder(folder, net())
    (folder / name).unlink()
    with pytest.raises(FormatError, match=f"{name}: file not found"):
        load_model_folder(folder, net())


def test_one_flipped_bit_is_refused(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(FormatError, match="model.safetensors: its sha256 is not the one recorded"):
        load_model_folder(folder, net())


def test_a_tensor_file_of_random_bytes_is_refused(folder):
    import hashlib

    content = struct.pack("<Q", 2**40) + b"{}"
    (folder / "model.safetensors").write_bytes(content)
    rewrite(folder, tensors_sha256=lambda _: hashlib.sha256(content).hexdigest())
    with pytest.raises(FormatError, match="model.safetensors: not a safetensors file"):
        load_model_folder(folder, net())


def layer_with(**changes):
    def change(layers):
        return [{**layers[0], **changes}, *layers[1:]]

    return change


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"kind": lambda _: "network"}, "field 'kind' is 'network', expected 'compressed'"),
        ({"version": lambda _: 99}, "field 'version' is 99, this program reads 1"),
        ({"history": None}, r"missing \['history'\], unknown nothing"),
        ({"extra": lambda _: 1}, r"missing nothing, unknown \['extra'\]"),
        ({"input_shape": lambda _: [0, "x"]}, "field 'input_shape' is"),
        ({"dtype": lambda _: "object"}, "field 'dtype' is 'object'; allowed: float32, float64"),
        ({"layers": lambda _: {}}, "field 'layers' is dict, expected list"),
        ({"history": lambda _: [1]}, r"field 'history\[0\]' has no method"),
        ({"layers": lambda layers: [{"layer": "0"}]}, r"field 'layers\[0\]': needs exactly bits, granularity"),
        ({"layers": layer_with(shape=[-1])}, "shape a list of whole numbers"),
        ({"layers": layer_with(levels=0)}, "levels 0 and bits 4; levels 1 to 32767 with their bits"),
        ({"layers": layer_with(kept=10**9)}, r"field 'layers\[0\]'.kept: got 1000000000; 0 to 36 is allowed"),
        ({"layers": layer_with(kept=1)}, r"tensor '0.mask' keeps \d+ weights, model.json says 1"),
        ({"layers": layer_with(granularity="row")}, "granularity: got 'row'; allowed: layer, channel"),
        (
            {"layers": layer_with(granularity="channel")},
            r"tensor '0.log2_step' is torch.int16 \(\), expected torch.int16 \(4,\)",
        ),
        ({"layers": layer_with(layer="9")}, "field 'layers' names '9'"),
        (
            {"layers": layer_with(shape=[4, 1, 3, 4])},
            r"field 'layers' names '0' \[4, 1, 3, 4\], which the model does not have",
        ),
    ],
)
def test_altered_fields_are_refused(folder, changes, text):
    rewrite(folder, **changes)
    with pytest.raises(FormatError, match=text):
        load_model_folder(folder, net())


def remove(key):
    return lambda tensors: tensors.pop(key)


def put(key, value):
    return lambda tensors: tensors.update({key: value})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (remove("0.codes"), "tensor '0.codes' is missing"),
        (remove("6.bias"), r"missing tensors \['6.bias'\], unknown none"),
        (
            put("6.bias", torch.zeros(4)),
            r"tensor '6.bias' is torch.float32 \(4,\), the model needs torch.float32 \(3,\)",
        ),
        (put("6.bias", torch.full((3,), torch.nan)), "tensor '6.bias' has values that are not finite"),
        (put("stray", torch.zeros(1)), r"unknown \['stray'\]"),
        (put("0.codes", torch.zeros(1, dtype=torch.uint8)), r"tensor '0.codes' is torch.uint8 \(1,\), expected"),
        (
            put("0.log2_step", torch.tensor(1000, dtype=torch.int16)),
            r"layer '0' has codes beyond \d+ or a step beyond 2\^126",
        ),
        (lambda tensors: tensors["0.codes"].fill_(255), "layer '0' has codes beyond"),
    ],
)
def test_altered_tensors_are_refused(folder, change, text):
    rewrite_tensors(folder, change)
    with pytest.raises(FormatError, match=text):
        load_model_folder(folder, net())


HISTORIES = [
    ([3], "has no method"),
    ([{"method": 3}], "has no method"),
    ([{"method": "opq", "original_parameters": "151"}], "malformed field 'original_parameters': '151'"),
    ([{"method": "finetune", "options": []}], r"malformed field 'options': \[\]"),
    ([{"method": "blocks"}], "malformed field 'allocation': None"),
    ([{"method": "blocks", "allocation": [{"layer": "0", "blocks": 1, "kept": -1}]}], "malformed field 'allocation'"),
    ([{"method": "joint", "options": {"bits": 65}}], r"malformed field 'options': \{'bits': 65\}"),
    ([{"method": "joint", "options": {"bits": 8}, "modules": [{"module": "2"}]}], "malformed field 'modules'"),
]


@pytest.mark.parametrize(("history", "message"), HISTORIES)
def test_a_history_that_code_could_not_read_is_refused(folder, history, message):
    rewrite(folder, history=lambda _: history)
    with pytest.raises(FormatError, match=rf"field 'history\[0\]' .*{message}.*; save the model again"):
        read_record(folder)
