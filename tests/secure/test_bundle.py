"""Bundles on disk: everything is read back, each party reads only its own part, and alterations are named."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from compress.errors import FormatError, InsecureParametersError, OverwriteError
from secure.bundle.client_file import client_digest
from secure.bundle.explain import RESCALING_WORDS, explain_bundle
from secure.bundle.files import load_bundle, load_client, load_server, plan_digest, save_bundle
from secure.bundle.interface import Interface
from secure.compiling.reporting import plan_summary
from secure.drafting.draft import Rescaling
from secure.params import make_params
from secure.plan import Kind
from tests.secure.plans import FLAT, Builder, complex_plan, small_bundle

BUNDLE = small_bundle()


@pytest.fixture
def folder(tmp_path):
    save_bundle(BUNDLE, tmp_path / "bundle")
    return tmp_path / "bundle"


def assert_same_plan(found, wanted):
    assert found.ops == wanted.ops
    assert (found.params, found.outputs, found.input_scale) == (wanted.params, wanted.outputs, wanted.input_scale)
    for one, other in zip(found.constants, wanted.constants, strict=True):
        np.testing.assert_array_equal(one.slots, other.slots)
        assert (one.level, one.scale) == (other.level, other.scale)


def test_a_bundle_comes_back_whole(folder):
    found = load_bundle(folder)
    assert_same_plan(found.server.plan, BUNDLE.server.plan)
    for name in vars(BUNDLE.client):
        np.testing.assert_array_equal(getattr(found.client, name), getattr(BUNDLE.client, name))
    assert found.report == {"mode": "latency"}
    assert found.explain() == BUNDLE.explain()


def test_equal_bundles_are_equal_bytes(folder, tmp_path):
    save_bundle(load_bundle(folder), tmp_path / "again")
    for name in ("client.json", "server/plan.json", "server/constants.safetensors", "report.json"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_each_party_needs_its_own_files_only(folder, tmp_path):
    (tmp_path / "client").mkdir()
    shutil.copy(folder / "client.json", tmp_path / "client")
    assert load_client(tmp_path / "client").bundle_id == BUNDLE.client.bundle_id
    shutil.copytree(folder / "server", tmp_path / "only" / "server")
    assert load_server(tmp_path / "only").bundle_id == BUNDLE.server.bundle_id


def test_the_client_file_holds_no_weights(folder):
    assert (folder / "client.json").stat().st_size < 4096
    assert set(json.loads((folder / "client.json").read_text())) & {"ops", "constants"} == set()


def test_the_digest_depends_on_everything():
    plan = BUNDLE.server.plan
    changed = [
        replace(plan, input_scale=plan.input_scale * 2),
        replace(plan, outputs=plan.outputs[::-1]),
        replace(plan, ops=(replace(plan.ops[0], layer="other"), *plan.ops[1:])),
        replace(plan, ops=(replace(plan.ops[0], steps=4), *plan.ops[1:])),
        replace(plan, params=make_params(4096, [36, 30], 40)),
        replace(plan, constants=(replace(plan.constants[0], scale=1.0), *plan.constants[1:])),
        replace(plan, constants=(replace(plan.constants[0], slots=plan.constants[1].slots), *plan.constants[1:])),
    ]
    digests = {plan_digest(other) for other in (plan, *changed)}
    assert len(digests) == len(changed) + 1
    assert plan_digest(small_bundle().server.plan) == BUNDLE.client.bundle_id


def test_a_plan_without_constants_is_saved_too(tmp_path):
    builder = Builder(params=FLAT)
    plan = builder.build(builder.add(0, 0))
    server = replace(BUNDLE.server, plan=plan, bundle_id=plan_digest(plan))
    save_bundle(replace(BUNDLE, server=server), tmp_path / "bundle")
    assert_same_plan(load_server(tmp_path / "bundle").plan, plan)


def test_complex_constants_come_back_and_belong_to_the_digest(tmp_path):
    plan = complex_plan()
    save_bundle(replace(BUNDLE, server=replace(BUNDLE.server, plan=plan, bundle_id=plan_digest(plan))), tmp_path / "b")
    found = load_server(tmp_path / "b").plan
    assert_same_plan(found, plan)
    conjugated = replace(plan.constants[0], slots=plan.constants[0].slots.conj())
    assert plan_digest(replace(plan, constants=(conjugated, *plan.constants[1:]))) != plan_digest(plan)


def test_an_existing_folder_is_kept_without_force(folder):
    before = (folder / "client.json").read_bytes()
    with pytest.raises(OverwriteError, match="bundle exists; choose another output or pass --force"):
        save_bundle(small_bundle(seed=1), folder)
    assert (folder / "client.json").read_bytes() == before
    save_bundle(small_bundle(seed=1), folder, force=True)
    assert load_bundle(folder).client.bundle_id != BUNDLE.client.bundle_id


def rewrite(path, **changes):
    found = json.loads(path.read_text())
    found.update(changes)
    path.write_text(json.dumps(found))


def test_an_altered_client_or_report_is_named_where_the_plan_lies_beside_it(folder):
    client = json.loads((folder / "client.json").read_text())
    rewrite(folder / "client.json", predicted_logit_error=0.001)  # in its range, but not what the compiler wrote
    assert load_client(folder).predicted_logit_error == 0.001
    with pytest.raises(FormatError, match="client.json: its digest is not the one in server/plan.json"):
        load_bundle(folder)
    rewrite(folder / "client.json", **client)
    assert load_bundle(folder).client.predicted_logit_error == 0.05
    rewrite(folder / "report.json", report={"mode": "other"})
    with pytest.raises(FormatError, match="report.json: its sha256 is not the one in server/plan.json"):
        load_bundle(folder)


def test_the_clients_digest_depends_on_every_field():
    spec = BUNDLE.client
    changes = {
        "bundle_id": "0" * 64,
        "params": make_params(4096, [36, 29], 39),
        "keys": replace(spec.keys, relinearize=False),
        "input_shape": (8, 4),
        "input_slots": spec.input_slots[..., ::-1],
        "input_level": 1,
        "input_scale": 1.0,
        "input_low": np.linspace(-1.0, -0.5, 32),
        "input_high": 2.0,
        "output_shape": (10,),
        "output_slots": spec.output_slots[::-1],
        "output_levels": (1, 2),
        "output_scales": spec.output_scales[::-1],
        "predicted_logit_error": 0.06,
        "interface": Interface(task="regression"),
        "output_folds": (1, 2),
        "error_grows_beyond": 3.0,
    }
    assert changes.keys() == vars(spec).keys()
    digests = {client_digest(replace(spec, **{name: value})) for name, value in changes.items()}
    assert len(digests | {client_digest(spec)}) == len(changes) + 1


PLAN_ALTERATIONS = [
    ({"kind": "other"}, "plan.json: field 'kind' is 'other'"),
    ({"input_scale": 2.0**21}, "plan.json: field 'bundle_id' is not the digest of the plan; the file is altered"),
    ({"outputs": [9, 8]}, "field 'bundle_id' is not the digest"),
    ({"bundle_id": "00" * 32}, "field 'bundle_id' is not the digest"),
    ({"client_digest": None}, "field 'client_digest' is None; allowed: a text"),
    ({"report_sha256": "0"}, "field 'report_sha256' is '0'; allowed: a sha256 in 64 hex digits"),
    ({"params": {"data_primes": []}}, "field 'params': field 'poly_modulus_degree' is missing"),
    ({"ops": {}}, "field 'kind' is missing or malformed"),
    ({"ops": None}, "is missing or malformed"),
    ({"constant_levels": [1]}, "is missing or malformed"),
    ({"constants_sha256": "00" * 32}, "constants.safetensors: its sha256 is not the one recorded"),
]


@pytest.mark.parametrize(("changes", "message"), PLAN_ALTERATIONS)
def test_an_altered_plan_file_is_named(folder, changes, message):
    rewrite(folder / "server" / "plan.json", **changes)
    with pytest.raises(FormatError, match=message):
        load_server(folder)


def test_a_plan_that_breaks_a_rule_is_refused_though_its_digest_is_right(tmp_path):
    plan = BUNDLE.server.plan
    broken = replace(plan, ops=(replace(plan.ops[0], steps=0), *plan.ops[1:]))
    save_bundle(replace(BUNDLE, server=replace(BUNDLE.server, plan=broken)), tmp_path / "bundle")
    with pytest.raises(FormatError, match="plan.json: field 'ops': layer 'fc': operation rotate rotates by nothing"):
        load_server(tmp_path / "bundle")


def test_insecure_parameters_are_refused_by_client_and_server(folder):
    weak = make_params(4096, [50, 50], 50)
    params = {"poly_modulus_degree": 4096, "data_primes": weak.data_primes, "special_prime": weak.special_prime}
    rewrite(folder / "client.json", params=params)
    with pytest.raises(InsecureParametersError, match="128-bit security allows 106"):
        load_client(folder)
    server = replace(BUNDLE.server, plan=replace(BUNDLE.server.plan, params=weak))
    save_bundle(replace(BUNDLE, server=server), folder, force=True)
    with pytest.raises(InsecureParametersError, match="128-bit security allows 106"):
        load_server(folder)


def test_parts_of_two_bundles_do_not_mix(folder, tmp_path):
    save_bundle(small_bundle(seed=1), tmp_path / "other")
    shutil.copy(tmp_path / "other" / "client.json", folder)
    with pytest.raises(FormatError, match="client.json: field 'bundle_id' is not that of server/plan.json"):
        load_bundle(folder)


def test_missing_and_truncated_files_are_named(folder):
    (folder / "report.json").write_text("[]")
    with pytest.raises(FormatError, match="report.json: holds list"):
        load_bundle(folder)
    (folder / "client.json").write_text("{")
    with pytest.raises(FormatError, match="client.json: not valid JSON"):
        load_client(folder)
    constants = folder / "server" / "constants.safetensors"
    constants.write_bytes(constants.read_bytes()[:-1])
    with pytest.raises(FormatError, match="constants.safetensors: its sha256"):
        load_server(folder)
    constants.unlink()
    with pytest.raises(FormatError, match="constants.safetensors: file not found"):
        load_server(folder)


def test_a_report_of_the_wrong_type_is_named(folder):
    rewrite(folder / "report.json", report=3)
    digest = hashlib.sha256((folder / "report.json").read_bytes()).hexdigest()
    rewrite(folder / "server" / "plan.json", report_sha256=digest)
    with pytest.raises(FormatError, match="report.json: field 'report' is missing or malformed"):
        load_bundle(folder)


def test_explain_tells_the_essentials_and_needs_no_report():
    text = explain_bundle(BUNDLE)
    for line in (
        f"bundle {BUNDLE.client.bundle_id[:12]}: 4 x 8 (32) in, 2 x 5 (10) out",
        "levels    2 at the input, 1 at the output",
        "work      2 rotations, 2 plain products, 1 square, 1 rescale",
        "inputs    -1 to 1 are accepted",
        "error     at most 0.05 at an output, for all but one input in 10,000 (predicted)",
    ):
        assert line in text.splitlines()
    assert "N = 4096, 2048 slots" in text
    assert " in 2 rotation keys and 1 relinearization key (estimated)" in text
    assert "layer " not in text
    assert "tried" not in text


def test_explain_counts_rotations_as_the_summary_of_the_plan_does():
    builder = Builder()
    plan = builder.build(builder.add(builder.rotate(builder.rotate(0, 3), 2), builder.conjugate(0)))
    assert (plan.count(Kind.ROTATE), plan.count(Kind.CONJUGATE)) == (2, 1)
    assert plan.rotations == plan_summary(plan)["rotations"] == 3
    report = {"layers": [{"layer": "fc", "rotate": 2, "conjugate": 1}]}
    bundle = replace(BUNDLE, server=replace(BUNDLE.server, plan=plan), report=report)
    lines = explain_bundle(bundle).splitlines()
    assert "work      3 rotations (1 conjugation among them)" in lines
    heading, row = lines[-2:]
    assert heading.split()[:3] == ["layer", "level", "rotations"]
    assert row.split() == ["fc", "3"]


def test_explain_shows_layers_and_alternatives_of_the_report():
    tried = {
        "degree": 8192,
        "planes": 2,
        "rescaling": "not_last",
        "predicted_ms": 9.0,
        "verdict": "modulus does not fit",
    }
    report = {
        "predicted_server_ms": 3.25,
        "predicted_disagreement": 0.001,
        "layers": [{"layer": "fc", "level": 2, "rotate": 1, "predicted_ms": 1.5}, {"layer": "act", "square": 1}],
        "weighed": [
            tried,
            {**tried, "planes": 1, "rescaling": "every", "rescale_primes": 2, "rotate_input": True},
            {**tried, "rescaling": "never", "rescale_primes": 2, "verdict": "chosen"},
        ],
    }
    text = explain_bundle(replace(BUNDLE, report=report))
    for part in (
        "3.2 ms on one thread",
        "classes   encryption changes the class of 0.10% of inputs (predicted)",
        "fc",
        "act",
        "1.50",
        "\nplans tried, the chosen one last\n",
    ):
        assert part in text
    for row, expected in zip(
        text.splitlines()[-3:],
        (
            "2 inputs per slot rescales after every square but the last rotates the sums 9.0 ms modulus does not fit",
            "1 input per slot rescales by two primes after every square rotates the input 9.0 ms modulus does not fit",
            "2 inputs per slot never rescales rotates the sums 9.0 ms chosen",
        ),
        strict=True,
    ):
        assert " ".join(row.split()) == f"N = 8192 {expected}"


def test_every_choice_of_rescales_has_words():
    assert {*RESCALING_WORDS, "never"} == set(Rescaling)
