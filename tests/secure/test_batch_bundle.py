"""Bundles for throughput on disk: everything is read back, and alterations and exchanged parts are named."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from compress.errors import FormatError, InsecureParametersError
from secure.bundle.batch_client import batch_client_fault, least_batch_error
from secure.bundle.batch_plan_file import load_batch_server
from secure.bundle.batch_specs import BatchBundle
from secure.bundle.client_file import client_digest
from secure.bundle.files import load_bundle, load_client, load_server, plan_digest, save_bundle
from secure.coded.plan import Step
from secure.params import make_params
from tests.secure.plans import small_bundle
from tests.secure.small_batches import small_batch_bundle

BUNDLE = small_batch_bundle()


@pytest.fixture
def folder(tmp_path):
    save_bundle(BUNDLE, tmp_path / "bundle")
    return tmp_path / "bundle"


def assert_same_step(found: Step, wanted: Step) -> None:
    assert type(found) is type(wanted)
    for name, value in vars(wanted).items():
        np.testing.assert_array_equal(getattr(found, name), value)


def test_a_bundle_comes_back_whole(folder, tmp_path):
    found = load_bundle(folder)
    assert isinstance(found, BatchBundle)
    for one, other in zip(found.server.plan.steps, BUNDLE.server.plan.steps, strict=True):
        assert_same_step(one, other)
    assert found.server.plan.params == BUNDLE.server.plan.params
    assert found.server.client_digest == BUNDLE.server.client_digest
    for name in vars(BUNDLE.client):
        np.testing.assert_array_equal(getattr(found.client, name), getattr(BUNDLE.client, name))
    assert found.report == {"mode": "throughput"}
    save_bundle(found, tmp_path / "again")
    for path in folder.rglob("*.*"):
        assert (tmp_path / "again" / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_each_party_needs_its_own_files_only(folder, tmp_path):
    (tmp_path / "client").mkdir()
    shutil.copy(folder / "client.json", tmp_path / "client")
    assert load_client(tmp_path / "client").bundle_id == BUNDLE.client.bundle_id
    assert set(json.loads((folder / "client.json").read_text())) & {"steps", "constants"} == set()
    shutil.copytree(folder / "server", tmp_path / "only" / "server")
    assert load_server(tmp_path / "only").bundle_id == BUNDLE.server.bundle_id


def test_the_servers_part_is_read_without_what_the_other_mode_needs(folder, tmp_path):
    code = (
        f"import sys\nfrom secure.bundle.batch_plan_file import load_batch_server\n"
        f"import secure.streams.frames\nprint(load_batch_server({str(folder)!r}).bundle_id)\n"
        "print({'numba', 'tenseal', 'compress.network', 'secure.plan'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [load_server(folder).bundle_id, "set()"]
    save_bundle(small_bundle(), tmp_path / "latency")
    with pytest.raises(FormatError, match="field 'mode'"):
        load_batch_server(tmp_path / "latency")


def test_the_digests_depend_on_everything():
    plan, client = BUNDLE.server.plan, BUNDLE.client
    first, *others = plan.steps
    changed = [
        replace(plan, input_scale=plan.input_scale * 2),
        replace(plan, upload_bits_dropped=1),
        replace(plan, inputs=7),
        replace(plan, params=make_params(4096, [30, 31], None)),
        replace(plan, steps=(replace(first, layer="other"), *others)),
        replace(plan, steps=(replace(first, codes=-first.codes), *others)),
        replace(plan, steps=(replace(first, bias=first.bias + 1), *others)),
        replace(plan, steps=(replace(first, scales=first.scales * 2), *others)),
    ]
    assert len({plan_digest(other) for other in (plan, *changed)}) == len(changed) + 1
    clients = [
        replace(client, input_scale=1.0),
        replace(client, input_low=np.full(6, -0.5)),
        replace(client, output_scales=client.output_scales * 2),
        replace(client, reply_parts=2),
        replace(client, predicted_logit_error=0.5),
        replace(client, upload_bits_dropped=1),
        replace(client, output_shape=(1, 3)),
    ]
    assert len({client_digest(other) for other in (client, *clients)}) == len(clients) + 1


#: (field, what a forger writes, what the message says of it)
FORGERIES = [
    ("mode", "fast", "latency or throughput"),
    ("mode", 1, "latency or throughput"),
    ("mode", "latency", "field 'galois_elements' is missing"),
    ("bundle_id", "g" * 64, "a sha256 in 64 hex digits"),
    ("bundle_id", None, "a text"),
    ("params", None, "an object"),
    ("input_shape", [2, -3], "whole numbers from 1 to"),
    ("input_shape", [2**20, 2**20], "sizes whose product is at most 16777216"),
    ("input_shape", [2**20], "sizes of which a block takes at most 4294967296 bytes"),
    ("input_scale", "large", "a number"),
    ("input_scale", -1.0, "a factor that brings an input of 1 above 0.5"),
    ("input_scale", 1e-300, "a factor that brings an input of 1 above 0.5"),
    ("input_scale", 1e300, "and into the modulus"),
    ("input_low", [0.0] * 5, "a list of 6 to 6 numbers"),
    ("input_low", 2.0, "at least input_low everywhere"),
    ("input_high", "1", "a number"),
    ("output_shape", [2**17], "sizes whose product is at most 65536"),
    ("output_shape", [], "a list of 1 to 8 whole numbers"),
    ("output_scales", 0.0, "a number above 0"),
    ("output_scales", [1.0, -1.0, 1.0], "a number above 0"),
    ("output_scales", 1e300, "at most 2\\^72"),
    ("output_scales", [1.0], "a list of 3 to 3 numbers"),
    ("reply_parts", 1, "a whole number from 2 to 129"),
    ("reply_parts", 2**40, "a whole number from 2 to 129"),
    ("reply_parts", 2.0, "a whole number from 2 to 129"),
    ("predicted_logit_error", 1e-12, "which a fresh encryption does"),
    ("predicted_logit_error", -1.0, "which a fresh encryption does"),
    ("predicted_logit_error", 1e300, "and at most 2\\^"),
    ("upload_bits_dropped", 1, "0 to 0 with these primes"),
    ("upload_bits_dropped", -1, "a whole number from 0 to 60"),
    ("interface", {"task": "magic"}, "one of classes"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "said"), FORGERIES)
def test_a_forged_client_file_is_refused_by_field(folder, name, value, said):
    path = folder / "client.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(FormatError, match=said):
        load_client(folder)


@pytest.mark.parametrize(
    "name", ["params", "input_scale", "output_scales", "reply_parts", "predicted_logit_error", "upload_bits_dropped"]
)
def test_a_missing_field_is_named(folder, name):
    path = folder / "client.json"
    found = json.loads(path.read_text())
    del found[name]
    path.write_text(json.dumps(found))
    with pytest.raises(FormatError, match=f"field '{name}'"):
        load_client(folder)


def test_parameters_of_other_plans_are_refused():
    client = BUNDLE.client
    special = replace(client, params=make_params(4096, [30, 30], 40))
    assert batch_client_fault(special) == ("params", "no special prime, since a plan for throughput switches no key")
    large = replace(client, params=make_params(4096, [55], None))
    assert batch_client_fault(large) == ("params", "primes of at most 50 bits")
    single = replace(client, params=make_params(4096, [46], None))
    assert batch_client_fault(replace(single, upload_bits_dropped=44)) is None
    assert batch_client_fault(replace(single, upload_bits_dropped=45)) == (
        "upload_bits_dropped",
        "0 to 44 with these primes",
    )
    assert batch_client_fault(replace(client, predicted_logit_error=least_batch_error(client))) is None


def test_an_insecure_modulus_is_refused(folder):
    path = folder / "client.json"
    found = json.loads(path.read_text())
    found["params"]["poly_modulus_degree"] = 2048
    path.write_text(json.dumps(found))
    with pytest.raises(InsecureParametersError, match="coeff_modulus"):
        load_client(folder)


def rewritten(folder, change, tensors=lambda found: found):
    """plan.json and the constants changed, with every hash computed again but that of the client."""
    constants = save_tensors(tensors(load_tensors((folder / "server/constants.safetensors").read_bytes())))
    (folder / "server/constants.safetensors").write_bytes(constants)
    plan = json.loads((folder / "server/plan.json").read_text())
    plan["constants_sha256"] = hashlib.sha256(constants).hexdigest()
    change(plan)
    rest = {k: v for k, v in plan.items() if k not in ("bundle_id", "client_digest", "report_sha256")}
    text = json.dumps({**rest, "version": 1}, sort_keys=True, indent=1) + "\n"
    plan["bundle_id"] = hashlib.sha256(text.encode() + constants).hexdigest()
    (folder / "server/plan.json").write_text(json.dumps(plan))


def test_the_bundle_id_is_what_the_page_on_bytes_says(folder):
    rewritten(folder, lambda plan: None)
    assert load_server(folder).bundle_id == BUNDLE.server.bundle_id


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda plan: plan.update(steps=[]), "a list of 1 to 65536 objects"),
        (lambda plan: plan.update(steps=7), "a list of 1 to 65536 objects"),
        (lambda plan: plan.update(inputs=0), "field 'inputs'"),
        (lambda plan: plan.update(mode="other"), "field 'mode'"),
        (lambda plan: plan["steps"][0].update(kind="conv"), "linear, quadratic, product, sum, select"),
        (lambda plan: plan["steps"][0].update(sources=[1]), "whole numbers from 0 to 0"),
        (lambda plan: plan["steps"][0].update(sources=[]), "field 'sources'"),
        (lambda plan: plan["steps"][0].update(layer=3), "field 'layer'"),
        (lambda plan: plan["steps"][1].update(kind="linear"), "tensor '1.starts' is missing"),
    ],
)
def test_an_altered_plan_is_refused_by_field(folder, change, said):
    rewritten(folder, change)
    with pytest.raises(FormatError, match=said):
        load_server(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("0.codes", np.ones(3, np.float64)),
        ("0.columns", np.zeros((2, 2), np.int32)),
        ("0.scales", np.float32([1.0])),
    ],
)
def test_a_tensor_of_another_type_is_refused_by_name(folder, name, value):
    rewritten(folder, lambda plan: None, lambda found: {**found, name: value})
    with pytest.raises(FormatError, match=f"tensor '{name}'"):
        load_server(folder)


def test_parts_of_other_bundles_are_told_apart(folder, tmp_path):
    save_bundle(small_bundle(), tmp_path / "other")
    shutil.copy(tmp_path / "other" / "client.json", folder / "client.json")
    with pytest.raises(FormatError, match="field 'bundle_id' is not that of server/plan.json"):
        load_bundle(folder)
    client = BUNDLE.client
    for changed, field in (
        (replace(client, input_scale=2.0**15), "input_scale"),
        (replace(client, output_scales=client.output_scales / 2), "output_scales"),
        (replace(client, reply_parts=2), "reply_parts"),
        (replace(client, input_shape=(7,), input_low=-1.0, input_high=1.0), "input_shape"),
    ):
        save_bundle(replace(BUNDLE, client=changed), folder, force=True)
        with pytest.raises(FormatError, match=f"field '{field}' is not what server/plan.json needs"):
            load_bundle(folder)


def test_an_altered_client_or_report_is_refused(folder):
    client = folder / "client.json"
    client.write_text(json.dumps({**json.loads(client.read_text()), "predicted_logit_error": 0.14}))
    with pytest.raises(FormatError, match="its digest is not the one in server/plan.json"):
        load_bundle(folder)
    save_bundle(BUNDLE, folder, force=True)
    (folder / "report.json").write_text((folder / "report.json").read_text().replace("throughput", "latency"))
    with pytest.raises(FormatError, match="its sha256 is not the one in server/plan.json"):
        load_bundle(folder)
