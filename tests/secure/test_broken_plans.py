"""Plans broken in ways that encryption would not notice: a checker refuses each one before anything is encrypted."""

import json
from dataclasses import replace

import numpy as np
import pytest

from compress.errors import FormatError, PlanError
from compress.network import Dense, Input, Network, Polynomial, Weights
from secure.bounds.headroom import wrap_sites
from secure.bundle.files import client_disagreement, load_bundle, save_bundle
from secure.bundle.specs import ServerSpec
from secure.drafting.draft import Choice, Draft, Rescaling, StageScales, gather_evidence
from secure.encoding import coefficients
from secure.evaluators.clear import run_clear
from secure.evaluators.dry import dry_run
from secure.layout.packing import EMPTY, input_vectors
from secure.params import make_params
from secure.parties.client import Client
from secure.parties.server import Server
from secure.passes import run_passes
from secure.passes.checkers import check_arranged, check_parameters, check_plan
from secure.passes.emit import emit
from secure.plan import KeyManifest, Kind
from secure.stages.stages import network_stages
from tests.secure.plans import small_bundle

SILENT = 5  # a feature that is zero in every calibration image, so that no image shows an error in it


def finished(inputs=20, hidden=8):
    rng = np.random.default_rng(0)

    def weights(*shape):
        return Weights(rng.normal(size=shape) / np.sqrt(shape[1]), np.array(1.0))

    network = Network(
        nodes=(
            Input(name="x", inputs=(), shape=(inputs,)),
            Dense(name="first", inputs=("x",), shape=(hidden,), weights=weights(hidden, inputs), bias=np.ones(hidden)),
            Polynomial(name="act", inputs=("first",), shape=(hidden,), coefficients=np.array([[0.1], [0.5], [0.3]])),
            Dense(name="last", inputs=("act",), shape=(3,), weights=weights(3, hidden), bias=np.ones(3)),
        )
    )
    stages, images = network_stages(network), rng.random((8, inputs))
    images[:, SILENT] = 0.0
    choice = Choice(degree=8192, rescaling=Rescaling.EVERY, base_primes=1, rotate_input=True)
    made = Draft(stages=stages, evidence=gather_evidence(stages, images), choice=choice)
    return run_passes(made)


@pytest.fixture(scope="module")
def draft():
    made = finished()
    for check in (check_arranged, check_parameters, check_plan):
        check(made)
    return made


def written(draft, **changes):
    """The plan of a draft with these changes, consistent in itself: only checks against data can find the error."""
    return emit(replace(draft, **changes, plan=None))


def overflow_bits(draft):
    """How far the plan's fullest value lies above half of its modulus on a calibration image, by definition."""
    plan, rows = draft.plan, draft.atom_maps[0].reshape(-1, 1, draft.choice.slots)
    slots = list(input_vectors(draft.evidence.atoms[0].T, rows).swapaxes(0, 1))
    excess = []
    for site in wrap_sites(plan):
        level, scale = plan.level_of(site.value), plan.scale_of(site.value)
        value = np.stack(run_clear(replace(plan, outputs=(site.value,)), slots))
        half = np.prod([float(prime) for prime in plan.params.data_primes[:level]]) / 2
        excess.append(np.log2(np.abs(coefficients(value)).max() * scale / half))
    return max(excess)


# -- overflow, and a modulus too small


def test_the_sound_plan_has_room(draft):
    assert -3.0 < overflow_bits(draft) < -1.0  # 1.5 bits of headroom, give or take chance


def test_a_last_polynomial_above_its_modulus_is_caught(draft):
    scales = (*draft.scales[:-1], StageScales(draft.scales[-1].value * 2.0**4, 0.0))
    broken = written(draft, scales=scales)
    assert overflow_bits(broken) > 0.5
    with pytest.raises(PlanError, match="layer 'last': its values need .* bits where the modulus leaves"):
        check_parameters(broken)
    with pytest.raises(PlanError, match="layer 'last': a value exceeds half of its modulus by .* bits and would wrap"):
        check_plan(broken)


def test_a_square_above_its_modulus_is_caught_where_it_is_rescaled(draft):
    value = draft.scales[0].value * 2.0**15
    divided = StageScales(value, value**2 / draft.params.data_primes[draft.stage_levels[0] - 1])
    broken = written(draft, scales=(divided, *draft.scales[1:]))
    assert overflow_bits(broken) > 0.5
    with pytest.raises(PlanError, match="layer 'first': its values need .* bits where the modulus leaves"):
        check_parameters(broken)
    with pytest.raises(PlanError, match="layer '(first|last)': (a value exceeds half of its modulus|operation)"):
        check_plan(broken)


def smaller_base(draft, bits):
    """The same primes except the base: a valid, secure chain that divides by the same numbers."""
    params = draft.params
    first = make_params(8192, [np.log2(params.data_primes[0]) - bits], None).data_primes[0]
    return replace(params, data_primes=(first, *params.data_primes[1:]))


def test_a_modulus_too_small_is_caught(draft):
    broken = written(draft, params=smaller_base(draft, 4))
    assert overflow_bits(broken) > 0.5
    with pytest.raises(PlanError, match="its values need .* bits where the modulus leaves"):
        check_parameters(broken)
    with pytest.raises(PlanError, match="a value exceeds half of its modulus by .* bits and would wrap around"):
        check_plan(broken)


def test_a_plan_on_other_primes_than_the_chosen_ones_is_caught(draft):
    broken = replace(draft, plan=replace(draft.plan, params=smaller_base(draft, 0.5)))
    with pytest.raises(PlanError, match="layer 'last': the plan was written for other primes than those chosen"):
        check_plan(broken)


# -- slots that wrap around: features twice, or not at all


def read_slots(draft):
    """(slots,): whether any diagonal of the first stage reads the slot of the first ciphertext."""
    table, slots = draft.tables[0], draft.choice.slots
    read = np.zeros(slots, dtype=bool)
    for key, values in table.diagonals.items():
        if key.atom == 0 and key.input == 0:
            read |= np.roll(values != 0, key.rotation)
    return read


@pytest.mark.parametrize("feature", [3, SILENT])
def test_a_feature_that_is_read_twice_is_caught(draft, feature):
    layout = draft.atom_maps[0].copy()
    other = np.flatnonzero(read_slots(draft) & (layout[0] != feature) & (layout[0] != EMPTY))[0]
    layout[0, other] = feature
    broken = replace(draft, atom_maps=(layout, *draft.atom_maps[1:]))
    with pytest.raises(PlanError, match="layer 'first': its diagonals are off by"):
        check_arranged(broken)
    with pytest.raises(PlanError, match="layer 'last': the plan in clear is off by"):
        check_plan(broken)


@pytest.mark.parametrize("feature", [3, SILENT])
def test_a_weight_that_meets_a_second_copy_is_caught(draft, feature):
    table, layout = draft.tables[0], draft.atom_maps[0]
    key = next(key for key in table.diagonals if key.atom == 0)
    met = np.roll(layout[key.input], -key.rotation)
    values = table.diagonals[key].copy()
    place = np.flatnonzero(met == feature)[-1]
    values[place] += 0.01
    broken = replace(
        draft, tables=(replace(table, diagonals={**table.diagonals, key: values}), *draft.tables[1:]), plan=None
    )
    with pytest.raises(PlanError, match="layer 'first': its diagonals are off by"):
        check_arranged(broken)
    with pytest.raises(PlanError, match="layer 'last': the plan in clear is off by"):
        check_plan(emit(broken))


@pytest.mark.parametrize("feature", [3, SILENT])
def test_a_feature_without_a_slot_is_caught(draft, feature):
    layout = np.where(draft.atom_maps[0] == feature, EMPTY, draft.atom_maps[0])
    broken = replace(draft, atom_maps=(layout, *draft.atom_maps[1:]))
    with pytest.raises(PlanError, match="layer 'first': its diagonals are off by"):
        check_arranged(broken)
    with pytest.raises(PlanError, match="layer 'last': the plan in clear is off by"):
        check_plan(broken)


def test_an_input_longer_than_the_slots_wrapped_around_is_caught():
    wide = finished(inputs=6000, hidden=2)
    assert wide.atom_maps[0].shape[0] == 2  # 4096 slots per ciphertext
    check_arranged(wide)
    features = np.arange(6000)
    layout = wide.atom_maps[0].copy()
    layout[1, :] = features[:4096]  # the second ciphertext starts again at the first feature
    with pytest.raises(PlanError, match="layer 'first': its diagonals are off by"):
        check_arranged(replace(wide, atom_maps=(layout, *wide.atom_maps[1:])))


# -- scales, levels, keys


def changed(plan, position, **changes):
    ops = list(plan.ops)
    ops[position] = replace(ops[position], **changes)
    return replace(plan, ops=tuple(ops))


def test_adding_values_of_different_scales_is_caught(draft):
    plan = draft.plan
    reads = [arg for op in plan.ops for arg in op.args]
    once = {arg - plan.inputs for op in plan.ops if op.kind is Kind.ADD for arg in op.args if reads.count(arg) == 1}
    product = next(i for i in sorted(once) if i >= 0 and plan.ops[i].kind is Kind.MULTIPLY_PLAIN)
    factor = 1.0001
    constants = list(plan.constants)
    index = plan.ops[product].constant
    constants[index] = replace(constants[index], scale=constants[index].scale * factor)
    broken = replace(changed(plan, product, scale=plan.ops[product].scale * factor), constants=tuple(constants))
    with pytest.raises(PlanError, match="layer '(first|last)': operation add adds scales"):
        check_plan(replace(draft, plan=broken))


def test_a_plan_whose_scales_all_drift_together_is_caught_at_the_output(draft):
    plan = draft.plan
    drifted = written(draft, scales=(*draft.scales[:-1], StageScales(draft.scales[-1].value * 0.99, 0.0))).plan
    with pytest.raises(PlanError, match="layer 'last': the output's scale drifted from the planned one"):
        check_plan(replace(draft, plan=drifted))
    assert plan.scale_of(plan.outputs[0]) == draft.scales[-1].value


@pytest.mark.parametrize("kind", [Kind.MULTIPLY_PLAIN, Kind.ADD_PLAIN])
def test_a_constant_of_another_level_is_caught(draft, kind):
    plan = draft.plan
    index = next(op.constant for op in plan.ops if op.kind is kind)
    constants = list(plan.constants)
    constants[index] = replace(constants[index], level=constants[index].level - 1)
    with pytest.raises(PlanError, match=f"operation {kind.value} reads a constant of level 1 at level 2"):
        check_plan(replace(draft, plan=replace(plan, constants=tuple(constants))))


def test_a_rotation_without_a_key_is_caught_when_the_bundle_is_read(tmp_path):
    bundle = small_bundle()
    save_bundle(bundle, tmp_path / "bundle")
    load_bundle(tmp_path / "bundle")
    path = tmp_path / "bundle" / "client.json"
    client = json.loads(path.read_text())
    assert len(client["galois_elements"]) == 2
    path.write_text(json.dumps(client | {"galois_elements": client["galois_elements"][:1]}))
    with pytest.raises(FormatError, match="client.json: field 'keys' is not what server/plan.json needs"):
        load_bundle(tmp_path / "bundle")


def test_a_rotation_without_a_key_is_caught_when_the_key_is_registered():
    bundle = small_bundle()
    lacking = replace(bundle.client, keys=KeyManifest(bundle.client.keys.galois_elements[:1], True))
    server = Server(ServerSpec(bundle_id=bundle.client.bundle_id, plan=bundle.server.plan))
    with pytest.raises(
        FormatError, match="evaluation key, rotations: it lacks the key that the bundle uses at index 13"
    ):
        server.register(Client(lacking).evaluation_key)


DISAGREEMENTS = [
    ("params", make_params(4096, [36, 29], 39)),
    ("keys", KeyManifest((3,), True)),
    ("input_level", 1),
    ("input_scale", 2.0**19),
    ("output_levels", (2, 1)),
    ("output_scales", (1.0, 1.0)),
    ("input_slots", np.zeros((2, 1, 2048), np.int32)),
]


@pytest.mark.parametrize(("field", "value"), DISAGREEMENTS)
def test_a_clients_part_that_differs_from_the_plan_is_named(field, value):
    bundle = small_bundle()
    assert client_disagreement(bundle.client, bundle.server.plan) is None
    assert client_disagreement(replace(bundle.client, **{field: value}), bundle.server.plan) == field


@pytest.mark.parametrize("inputs", [0, 2**16 + 1, 2**53 + 1])
def test_a_plan_that_reads_no_ciphertext_or_too_many_is_refused(inputs):
    plan = replace(small_bundle().server.plan, inputs=inputs)
    with pytest.raises(PlanError, match=f"the plan takes {inputs} ciphertexts; allowed: 1 to 65536"):
        dry_run(plan)
