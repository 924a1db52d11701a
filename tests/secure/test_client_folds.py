"""Plans whose last folds the client does: the same answers, fewer rotations, errors within the bound."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

import cipherpress as cp
from compress.dataset import Dataset
from compress.errors import ConfigError, FormatError, PlanError
from secure.bundle.client_file import client_json, load_client
from secure.bundle.files import save_bundle
from secure.layout.diagonals import apply_table, folded_by_client, folded_table
from secure.layout.packing import EMPTY, folded, periodic_map, spread, unfolded
from secure.verify.verification import verify_bundle
from tests.secure.random_networks import network, rows

ROWS = rows("plain", 600, 24, 0)
DATA = Dataset("rows", ROWS[:400].astype(np.float32), None, ROWS[400:].astype(np.float32), None)
NETWORK = network((24, 16, 10), ROWS, 0)


@pytest.fixture(scope="module")
def bundle() -> cp.Bundle:
    return cp.compile(NETWORK, DATA, cp.Limits(fold="client"))


@pytest.mark.parametrize("groups", [1, 2, 8, 16])
def test_the_clients_folds_finish_what_the_table_begins(groups: int) -> None:
    rng = np.random.default_rng(groups)
    matrix, values = rng.normal(size=(10, 60)), rng.normal(size=60)
    source = periodic_map(60, 1024)
    table = folded_table({1: sparse.csr_matrix(matrix)}, {1: source}, 10, groups)
    left = folded_by_client(table)
    assert table.folds and left.client_folds == table.folds and left.folds == ()
    held = left.output_map != EMPTY
    assert sorted(left.output_map[held]) == list(range(10))  # one slot for every output, which gets its constant
    made = folded(apply_table(left, {1: spread(values, source)}), left.client_folds)
    np.testing.assert_allclose(made[held], (matrix @ values)[left.output_map[held]], atol=1e-12)


def test_unfolding_is_the_transpose_of_folding() -> None:
    rng = np.random.default_rng(0)
    slots, derivatives, folds = rng.normal(size=64), rng.normal(size=64), (2, 4, 8)
    assert derivatives @ folded(slots, folds) == pytest.approx(unfolded(derivatives, folds) @ slots)


def test_a_table_without_folds_stays_itself() -> None:
    table = folded_table({1: sparse.csr_matrix(np.eye(4))}, {1: periodic_map(4, 64)}, 4)
    assert folded_by_client(table) is table


def test_answers_are_those_of_the_network_with_fewer_rotations(bundle) -> None:
    server = cp.compile(NETWORK, DATA)
    assert bundle.client.output_folds and not server.client.output_folds
    assert bundle.report["rotations"] < server.report["rotations"]
    assert bundle.report["predicted_server_ms"] < server.report["predicted_server_ms"]
    result = cp.round_trip(bundle, DATA.x_test[:40])
    assert result["max_logit_error"] <= result["predicted_logit_error"] <= 100 * result["max_logit_error"]
    client, party = cp.Client(bundle.client), cp.Server(bundle.server)
    party.register(client.evaluation_key)
    answer = client.decrypt(party.run(client.encrypt(DATA.x_test[0])))
    wanted = NETWORK.run(DATA.x_test[:1].astype(np.float64))[0]
    np.testing.assert_allclose(answer, wanted, atol=bundle.client.predicted_logit_error)


def test_the_text_says_what_the_client_sees(bundle) -> None:
    slots = 2 ** len(bundle.client.output_folds)
    assert f"the client adds {slots} slots up to each output, and sees what every unit" in bundle.explain()


def test_the_worst_inputs_are_searched_behind_the_clients_folds(bundle) -> None:
    result = verify_bundle(bundle, DATA.x_test[:16], encrypted=2, steps=2)
    assert result["holds"] and 0 < result["largest_error"] <= result["bound"]


def test_the_file_keeps_them_and_refuses_others(bundle, tmp_path) -> None:
    save_bundle(bundle, tmp_path / "bundle")
    found = load_client(tmp_path / "bundle")
    assert found.output_folds == bundle.client.output_folds
    content, slots = client_json(bundle.client), bundle.client.params.slots
    for folds, said in [
        ([1, 3], "each is twice the one before it"),
        ([], "a list of 1 to"),
        ([slots], f"from 1 to {slots - 1}"),
    ]:
        (tmp_path / "bundle" / "client.json").write_text(json.dumps({**content, "output_folds": folds}))
        with pytest.raises(FormatError, match=f"field 'output_folds'.*{said}"):
            load_client(tmp_path / "bundle")


def test_partial_sums_leave_a_server_only_where_that_was_asked_for(bundle) -> None:
    from secure.drafting.draft import Choice, Draft, Rescaling, gather_evidence
    from secure.passes.checkers import check_arranged
    from secure.stages.stages import network_stages

    stages = network_stages(replace(NETWORK, nodes=NETWORK.nodes[:2]))
    source = periodic_map(24, 2048)
    table = folded_table(stages[0].maps, {0: source}, 16)
    draft = Draft(
        stages=stages,
        evidence=gather_evidence(stages, ROWS[:20]),
        choice=Choice(degree=4096, rescaling=Rescaling.EVERY, base_primes=1, rotate_input=True),
        atom_maps=(source,),
        tables=(replace(table, partial=True),),
    )
    with pytest.raises(PlanError, match="would show partial sums to the client"):
        check_arranged(draft)
    check_arranged(replace(draft, tables=(folded_by_client(table),)))


def test_who_folds_is_one_of_two_and_the_server_in_batches() -> None:
    with pytest.raises(ConfigError, match="fold: got 'nobody'; allowed: server, client"):
        cp.Limits(fold="nobody")
    with pytest.raises(ConfigError, match="fold: got 'client'; allowed: server in mode throughput"):
        cp.compile(NETWORK, DATA, cp.Limits(fold="client"), mode="throughput")
