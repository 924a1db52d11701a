"""Folders and files of artifacts, mutated, with every hash computed again, and what a user does with them after."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from math import prod
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import numpy as np
import yaml
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save

import cipherpress as cp
from cipherpress.commands.artifacts import read_trained
from cipherpress.timing.cache import load_times
from cipherpress.zoo.datasets import load_data
from cipherpress.zoo.loading import load_model
from compress.account.accounting import account
from compress.account.inspection import describe_model, describe_network
from compress.errors import CipherpressError
from compress.model.saved import load_model_folder
from compress.network_file import load_network, network_bytes
from hwmodel.architecture_file import load_architecture
from hwmodel.page import report_page
from secure.bundle import files
from secure.bundle.client_file import client_digest, load_client
from secure.coded.clear import run_clear
from secure.parties.client import Client
from secure.parties.inputs import read_input
from secure.parties.server import Server
from secure.streams.client import BatchClient
from secure.streams.server import BatchServer
from tests.fuzz.byte_mutations import mutated_arrays, mutated_bytes, safetensors_bytes
from tests.fuzz.json_mutations import mutated
from tests.fuzz.reports import BATCH_REPORT, REPORT
from tests.fuzz.trial import Case
from tests.golden import make
from tests.secure.small_batches import small_batch_bundle, small_batch_bundle_with_units


def saved_bytes(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its relative name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def written(folder: Path, contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def with_hashes(text: str, seal: Callable[[dict[str, Any]], None]) -> bytes:
    """The JSON text with its hashes computed again; the text as it is where Python's reader cannot read it."""
    try:
        document = json.loads(text)
        seal(document)
        return json.dumps(document).encode()
    except Exception:  # a text that is no JSON, or holds half a character: it goes to our reader as it is
        return text.encode("utf-8", "surrogatepass")


def model_folder(
    folder: Path, seal: Callable[[dict[str, Any], bytes], None], use: Callable[[], object], share: float = 0.7
) -> Case:
    """A folder of model.json and model.safetensors. seal: writes the hashes. use: reads the folder and works on it."""
    contents = saved_bytes(folder)
    header, arrays = json.loads(contents["model.json"]), load_tensors(contents["model.safetensors"])

    def case(random: Random) -> tuple[str, Callable[[], object]]:
        text, note, tensors = contents["model.json"].decode(), "", contents["model.safetensors"]
        if random.random() < share:
            text, note = mutated(header, random)
        else:
            changed, what = mutated_arrays(arrays, random)
            tensors, how = safetensors_bytes(changed, random)
            note = f"{what}, {how}"
            if random.random() < 0.1:
                tensors, note = mutated_bytes(contents["model.safetensors"], random)
        written(
            folder, {"model.json": with_hashes(text, lambda found: seal(found, tensors)), "model.safetensors": tensors}
        )
        return note, use

    return case


def networks(folder: Path) -> Case:
    """A converted network; it is loaded, shown, run on one input and saved."""
    cp.save(make.network(), folder / "n", force=True)

    def seal(header: dict[str, Any], tensors: bytes) -> None:
        header["tensors_sha256"] = hashlib.sha256(tensors).hexdigest()
        rest = {key: value for key, value in header.items() if key != "header_sha256"}
        packed = json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
        header["header_sha256"] = hashlib.sha256(packed).hexdigest()

    def use() -> None:
        network = load_network(folder / "n")
        describe_network(network)
        network_bytes(network)
        assert network.run(np.zeros((1, *network.input_shape))).shape == (1, *network.output_shape)

    return model_folder(folder / "n", seal, use)


def compressed_models(folder: Path) -> Case:
    """A compressed model; it is loaded, shown and counted."""
    cp.save(make.compressed(), folder / "m", force=True)
    module = make.module()

    def seal(header: dict[str, Any], tensors: bytes) -> None:
        header["tensors_sha256"] = hashlib.sha256(tensors).hexdigest()

    def use() -> None:
        with mock.patch("cipherpress.zoo.loading.importlib.util.spec_from_file_location", side_effect=AssertionError):
            try:
                cp.load(folder / "m")
            except CipherpressError:  # the module is not given, so this is as far as it gets
                pass
        model = load_model_folder(folder / "m", module)
        account(model)
        describe_model(model)

    return model_folder(folder / "m", seal, use)


def trained_weights(folder: Path) -> Case:
    """A folder of `cipherpress train`, and its weights as --weights."""
    target = folder / "w"
    state = {name: value.numpy() for name, value in make.module().state_dict().items()}
    record = {"kind": "weights", "version": 1, "model": "own.py:net", "sha256": "", "accuracy_plain": 0.5, "images": 3}
    factory = "from torch import nn\ndef net():\n    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), "
    written(folder, {"own.py": (factory + "nn.Flatten(), nn.Linear(36, 3))\n").encode()})
    written(target, {"model.json": json.dumps(record).encode(), "model.safetensors": save(state)})

    def seal(header: dict[str, Any], tensors: bytes) -> None:
        header["sha256"] = hashlib.sha256(tensors).hexdigest()

    def use() -> None:
        cp.artifact_kind(target)
        read_trained(target)
        load_model(f"{folder / 'own.py'}:net", target / "model.safetensors")

    return model_folder(target, seal, use, share=0.4)


def bundles(folder: Path) -> Case:
    """A bundle for latency; it is loaded and explained, and its client and server are made."""

    def parties(bundle: Any) -> None:
        Server(bundle.server, keys_bytes=None, cache_bytes=2**20)
        Client(bundle.client)

    return _bundles(folder, replace(make.bundle(), report=REPORT), parties)


def batch_bundles(folder: Path, make_bundle: Callable[[], Any] = small_batch_bundle) -> Case:
    """A bundle for throughput; the same, and the plan runs in clear."""

    def parties(bundle: Any) -> None:
        BatchServer(bundle.server)
        BatchClient(bundle.client)
        run_clear(bundle.server.plan, np.zeros((2, prod(bundle.client.input_shape))))

    return _bundles(folder, replace(make_bundle(), report=BATCH_REPORT), parties)


def batch_bundles_with_units(folder: Path) -> Case:
    """`batch_bundles` for one with phases that leaves inputs out."""
    return batch_bundles(folder, small_batch_bundle_with_units)


def _bundles(folder: Path, made: Any, parties: Callable[[Any], None]) -> Case:
    target = folder / "b"
    cp.save(made, target, force=True)
    machines = [load_architecture("cpu-engine")]
    contents = saved_bytes(target)
    documents = {name: json.loads(content) for name, content in contents.items() if name.endswith(".json")}
    arrays = load_tensors(contents[files.CONSTANTS_FILE])
    plan_id = documents[files.PLAN_FILE]["bundle_id"]
    digest_of = files.plan_digest
    comparison = cp.compare(made.server.plan, machines)

    def case(random: Random) -> tuple[str, Callable[[], object]]:
        changed = dict(contents)
        name = random.choice(sorted(contents))
        if name == files.CONSTANTS_FILE:
            found, what = mutated_arrays(arrays, random)
            changed[name], how = safetensors_bytes(found, random)
            note = f"{what}, {how}"
        else:
            text, note = mutated(documents[name], random)
            changed[name] = text.encode("utf-8", "surrogatepass")
        written(target, changed)

        def seal(plan: dict[str, Any]) -> None:
            if name == files.CONSTANTS_FILE:
                plan["constants_sha256"] = hashlib.sha256(changed[name]).hexdigest()
            if name == files.REPORT_FILE:
                plan["report_sha256"] = hashlib.sha256(changed[name]).hexdigest()
            if name == files.CLIENT_FILE:
                plan["client_digest"] = client_digest(load_client(target))

        try:
            (target / files.PLAN_FILE).write_bytes(with_hashes(changed[files.PLAN_FILE].decode(), seal))
        except UnicodeDecodeError:
            pass
        return f"{name}: {note}", use

    def use() -> None:
        with mock.patch.object(files, "plan_digest", lambda plan: digest_of(plan) and plan_id):
            bundle = files.load_bundle(target)
        bundle.explain()
        bundle.report_json()
        report_page(bundle.report, comparison, machines)
        parties(bundle)

    return case


def architectures(folder: Path) -> Case:
    """An architecture file."""
    source = Path(load_architecture.__code__.co_filename).parent / "architectures" / "cpu-seal.yaml"
    document = yaml.safe_load(source.read_text())
    odd = (
        "a: &a [*a]", "&a {x: *a}", "x: !!python/object/apply:os.system [ls]", "a: 2024-99-99", "a: !!int ''", "a: 0b",
        "a: 1:99:99", "? [1, 2]\n: 3", "a: !!binary 'x'", "a: .nan", "a: .inf", "\tx", "- &b 1\n- *b",
        "a: !!set {1}", "a: !!timestamp x", "a: &x {}\nb: {<<: *x}", "%YAML 9.9\n---\na: 1", "--- 1\n--- 2", 
        "a: " + "9" * 5000, "[" * 2000,
        "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'x'}]" for i in range(12)), "a: !!float x",
    )  # fmt: skip

    def case(random: Random) -> tuple[str, Callable[[], object]]:
        text, note = mutated(document, random)  # JSON is YAML
        if random.random() < 0.3:
            note = random.choice(odd)
            text = source.read_text() + "\n" + note if random.random() < 0.5 else note
        (folder / "a.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
        return note[:200], lambda: load_architecture(folder / "a.yaml")

    return case


def kernel_times(folder: Path) -> Case:
    """The cache of kernel times of this machine."""
    from datetime import date

    from cipherpress.timing.cache import save_times
    from secure.kernels.counts import KernelTimes
    from secure.kernels.requests import TYPICAL_REQUEST_TIMES
    from secure.residues.times import TYPICAL_RESIDUE_TIMES

    times = KernelTimes(butterfly_ns=1.5, product_ns=0.25, addition_ns=0.5, call_us=4.0)
    with mock.patch.dict("os.environ", {"CIPHERPRESS_CACHE": str(folder)}):
        path = save_times(times, times, TYPICAL_REQUEST_TIMES, TYPICAL_RESIDUE_TIMES, date(2026, 11, 25))
    document = json.loads(path.read_bytes())

    def case(random: Random) -> tuple[str, Callable[[], object]]:
        text, note = mutated(document, random)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return note, lambda: load_times(path)

    return case


def data_sets(folder: Path) -> Case:
    """An .npz file of data, and one input as .npy."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "x_train": rng.random((12, 1, 4, 4)).astype(np.float32), "y_train": np.arange(12) % 3,
        "x_test": rng.random((6, 1, 4, 4)).astype(np.float32), "y_test": np.arange(6) % 3,
    }  # fmt: skip

    def case(random: Random) -> tuple[str, Callable[[], object]]:
        changed, note = mutated_arrays(arrays, random)
        if random.random() < 0.1:
            changed["y_train"] = np.array([{"a": 1}, None], dtype=object)
            note += ", objects"
        buffer = BytesIO()
        np.savez(buffer, **{name.replace("/", "_"): array for name, array in changed.items()})
        content = buffer.getvalue()
        if random.random() < 0.5:
            content, note = _with_headers(content, random)
        (folder / "d.npz").write_bytes(content)
        (folder / "x.npy").write_bytes(content if random.random() < 0.3 else _npy(random))
        return note, use

    def use() -> None:
        try:
            read_input(folder / "x.npy", (1, 4, 4))
        except CipherpressError:
            pass
        load_data(str(folder / "d.npz"))

    return case


def _with_headers(content: bytes, random: Random) -> tuple[bytes, str]:
    """The archive with one of its arrays' headers, or some bytes, changed."""
    import zipfile

    source = zipfile.ZipFile(BytesIO(content))
    buffer, chosen = BytesIO(), random.choice(source.namelist())
    note = "archive as it was"
    with zipfile.ZipFile(buffer, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as target:
        for name in source.namelist():
            part = source.read(name)
            if name == chosen:
                part, note = (_npy(random), "another header") if random.random() < 0.6 else mutated_bytes(part, random)
            target.writestr(name, part)
    if random.random() < 0.3:
        return mutated_bytes(buffer.getvalue(), random)
    return buffer.getvalue(), f"{chosen}: {note}"


def _npy(random: Random) -> bytes:
    """A .npy file whose header may lie."""
    shape = random.choice(
        ("(16,)", "(4, 4)", "(2**63,)", f"({2**62}, {2**62})", "(-1,)", f"({2**40},)", "()", "(0,)", "('a',)", "16",
         "(" * 300 + ")" * 300, f"({2**40}, 0)", "(1.5,)", f"({'9' * 400},)", "(True,)", "[16]"))  # fmt: skip
    kind = random.choice(
        ("'<f8'", "'<f4'", "'|O'", "'<U9'", "'V0'", "[('a', '<f8')]", "'<c16'", "'<m8'", "3", "'x'", "'|S0'")
    )
    order = random.choice(("False", "True", "None", "3"))
    head = f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}"
    if random.random() < 0.1:
        head = random.choice(("{", "[" * 5000, "1", "{'descr': 1}", "{**1}", "\x00", "é", "__import__('os')"))
    packed = head.encode("latin-1") + b"\n"
    version = random.choice((1, 1, 1, 2, 3, 9))
    size = len(packed).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + packed + bytes(128)
