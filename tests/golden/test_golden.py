"""The committed golden files load, are written again byte by byte, and have the fields of docs/wire-format.md."""

import base64
import json
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from arch.rooms import ROOT
from safetensors.numpy import load as load_tensors

import cipherpress as cp
from compress.model.saved import load_model_folder
from compress.network_file import network_bytes
from compress.node_shapes import RULES
from secure.bundle.batch_plan_file import ARRAYS, STEPS
from secure.bundle.batch_specs import BatchBundle
from secure.bundle.files import plan_digest
from secure.bundle.specs import Bundle
from secure.parties.container import ContainerKind, parse
from tests.golden import make
from tests.secure.small_batches import small_batch_bundle

GOLDEN = Path(make.FOLDER)
PAGE = (ROOT / "docs/wire-format.md").read_text()


def written(name: str) -> dict[str, bytes]:
    return {str(path.relative_to(GOLDEN)): path.read_bytes() for path in (GOLDEN / name).rglob("*") if path.is_file()}


def inflated(client: bytes) -> dict:
    """client.json with its slot maps inflated, since the bytes of a zlib stream depend on the library's version."""
    found = json.loads(client)
    for name in ("input_slots", "output_slots"):
        packed = base64.b64decode(found[name]["int32_zlib_base64"])
        found[name] = (found[name]["shape"], zlib.decompress(packed))
    return found


def test_golden_files_are_small():
    files = [path for path in GOLDEN.rglob("*") if path.suffix != ".pyc" and "messages" not in path.parts]
    assert sum(path.stat().st_size for path in files) < 200_000


# -- they load


@pytest.mark.parametrize(("name", "made"), [("network", make.network), ("network2", make.network2)])
def test_the_network_loads(name, made):
    found = cp.load(GOLDEN / name)
    assert isinstance(found, cp.Network)
    assert network_bytes(found) == network_bytes(made())
    x = np.random.default_rng(0).uniform(-1, 1, (3, *found.input_shape))
    assert np.array_equal(found.run(x), made().run(x))


def test_the_two_networks_have_every_type_of_node():
    held = {type(node) for name in ("network", "network2") for node in cp.load(GOLDEN / name).nodes}
    assert held == set(RULES)


def test_the_bundle_loads():
    found, made = cp.load(GOLDEN / "bundle"), make.bundle()
    assert isinstance(found, Bundle)
    assert found.server.bundle_id == plan_digest(made.server.plan) == found.client.bundle_id
    assert found.server.plan.ops == made.server.plan.ops
    assert found.client.params == made.client.params
    assert np.array_equal(found.client.input_slots, made.client.input_slots)
    assert np.iscomplexobj(found.server.plan.constants[1].slots)
    assert found.report == {"mode": "latency"}


def test_the_bundle_for_throughput_loads():
    found, made = cp.load(GOLDEN / "batch-bundle"), small_batch_bundle()
    assert isinstance(found, BatchBundle)
    assert found.server.bundle_id == plan_digest(made.server.plan) == found.client.bundle_id
    assert [type(step) for step in found.server.plan.steps] == [type(step) for step in made.server.plan.steps]
    assert found.report == {"mode": "throughput"}


def test_the_compressed_model_loads():
    found = load_model_folder(GOLDEN / "compressed", make.module())
    layers = found.layers()
    assert {name: layer.bits for name, layer in layers.items()} == {"0": 4, "3": 4}
    assert sum(int(layer.mask.sum()) for layer in layers.values()) == 72
    for name, layer in layers.items():
        assert np.array_equal(found.module.get_submodule(name).weight.detach().numpy(), layer.values())


def test_the_key_container_is_parsed():
    assert (
        parse((GOLDEN / "evaluation.key").read_bytes(), ContainerKind.EVALUATION_KEY, "evaluation key")
        == make.container()
    )


# -- the same content gives the same bytes


def test_the_same_content_gives_the_same_files(tmp_path):
    make.make(tmp_path)
    for name in ("network", "network2", "bundle", "batch-bundle"):
        for file, content in written(name).items():
            again = (tmp_path / file).read_bytes()
            if file == "bundle/client.json":
                assert inflated(again) == inflated(content)
            else:
                assert again == content, f"{file} has changed; see tests/golden/make.py"
    assert (tmp_path / "evaluation.key").read_bytes() == (GOLDEN / "evaluation.key").read_bytes()
    first = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    make.make(tmp_path)
    assert {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == first


# -- the page names what the files hold


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without the table's head."""
    section = PAGE.split(f"\n{heading}\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    end = next((k for k, line in enumerate(section.splitlines()) if table and line == table[0]), 0)
    lines = []
    for line in section.splitlines()[end:]:
        if not line.startswith("|"):
            break
        lines.append([cell.strip() for cell in line.strip("|").split("|")])
    return lines[2:]


def fields(heading: str) -> tuple[set[str], set[str]]:
    """(all names, optional names) in the first column of a table."""
    cells = [row[0] for row in rows(heading)]
    names = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    return names, {name for cell in cells if "(optional)" in cell for name in re.findall(r"`([^`]+)`", cell)}


@pytest.mark.parametrize(
    ("heading", "file"),
    [
        ("### `client.json`", "bundle/client.json"),
        ("### `server/plan.json`", "bundle/server/plan.json"),
        ("### `report.json`", "bundle/report.json"),
        ("### `client.json` of a bundle for throughput", "batch-bundle/client.json"),
        ("### `server/plan.json` of a bundle for throughput", "batch-bundle/server/plan.json"),
        ("### `report.json`", "batch-bundle/report.json"),
        ("### `model.json` of a converted network", "network/model.json"),
        ("### `model.json` of a converted network", "network2/model.json"),
        ("### `model.json` of a compressed model", "compressed/model.json"),
    ],
)
def test_the_page_names_the_fields_of_every_json_file(heading, file):
    found = json.loads((GOLDEN / file).read_bytes())
    named, optional = fields(heading)
    assert named - optional <= found.keys() <= named
    kind_and_version = next(row[1] for row in rows(heading) if row[0] == "`kind`, `version`")
    assert kind_and_version == f"`{found['kind']}`, {found['version']}"


def test_the_page_names_the_files_of_a_bundle():
    files = {re.search(r"`([^`]+)`", row[0]).group(1) for row in rows("## The bundle folder")}
    assert {f"bundle/{file}" for file in files} == set(written("bundle"))


def test_the_page_names_the_tensors_of_the_constants():
    tensors = load_tensors((GOLDEN / "bundle/server/constants.safetensors").read_bytes())
    plan = json.loads((GOLDEN / "bundle/server/plan.json").read_bytes())
    assert fields("### `server/constants.safetensors`")[0] == tensors.keys()
    slots = plan["params"]["poly_modulus_degree"] // 2
    assert tensors["slots"].shape == (len(plan["constant_levels"]), slots)
    assert tensors["imaginary_slots"].shape == (len(plan["complex_constants"]), slots)
    assert {str(tensor.dtype) for tensor in tensors.values()} == {"float32"}


def test_the_page_names_the_steps_and_the_tensors_of_a_plan_for_throughput():
    heading = "### `server/constants.safetensors` of a bundle for throughput"
    named = {row[0].strip("`"): set(re.findall(r"`([^`]+)`", row[1])) for row in rows(heading)}
    assert named == {kind: set(ARRAYS[step]) - {"scales"} for kind, step in STEPS.items()}
    plan = json.loads((GOLDEN / "batch-bundle/server/plan.json").read_bytes())
    steps = next(row[1] for row in rows("### `server/plan.json` of a bundle for throughput") if row[0] == "`steps`")
    assert all(set(re.findall(r"`([^`]+)`", steps)) == step.keys() for step in plan["steps"])
    tensors = load_tensors((GOLDEN / "batch-bundle/server/constants.safetensors").read_bytes())
    wanted = {f"{n}.{name}" for n, step in enumerate(plan["steps"]) for name in named[step["kind"]] | {"scales"}}
    assert tensors.keys() == wanted


def test_the_page_names_the_columns_of_operations_and_the_entries_of_layers():
    plan = json.loads((GOLDEN / "bundle/server/plan.json").read_bytes())
    ops = next(row[1] for row in rows("### `server/plan.json`") if row[0] == "`ops`")
    assert set(re.findall(r"`([^`]+)`", ops)) == plan["ops"].keys()
    header = json.loads((GOLDEN / "compressed/model.json").read_bytes())
    layers = next(row[1] for row in rows("### `model.json` of a compressed model") if row[0] == "`layers`")
    assert set(re.findall(r"`([^`]+)`", layers)) == header["layers"][0].keys()
    client = json.loads((GOLDEN / "bundle/client.json").read_bytes())
    params = next(row[1] for row in rows("### `client.json`") if row[0] == "`params`")
    of_hybrid = {"more_special_primes", "digits"}  # the bundle has no hybrid key switching
    assert set(re.findall(r"`([^`]+)`", params)) == client["params"].keys() | of_hybrid


def test_the_container_is_laid_out_as_the_page_says():
    content, made = (GOLDEN / "evaluation.key").read_bytes(), make.container()
    lengths = struct.pack(f"<{len(made.items)}Q", *map(len, made.items))
    expected = {
        "magic": b"CIPHPRS2",
        "kind": bytes([ContainerKind.EVALUATION_KEY]),
        "padding": bytes(3),
        "number of items, n": len(made.items).to_bytes(4, "little"),
        "bundle id": bytes.fromhex(made.bundle_id),
        "key id": made.key_id,
        "length of every item": lengths,
    }
    seen = {}
    for offset, size, name, *_ in rows("## The container"):
        if offset.isdigit():
            length = int(size) if size.isdigit() else len(lengths)
            seen[name] = content[int(offset) : int(offset) + length]
    assert seen == expected
    assert content[64 + 8 * len(made.items) : -32] == b"".join(made.items)


def test_the_page_names_the_container_kinds():
    (kinds,) = [row[3] for row in rows("## The container") if row[2] == "kind"]
    names = {int(number): name for number, name in re.findall(r"(\d) ([a-z ]+)", kinds)}
    assert names == {kind.value: kind.name.lower().replace("_", " ") for kind in ContainerKind}
