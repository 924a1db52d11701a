"""Constants in little memory: however they are stored, answers are the same to the last bit. Workspaces whose arrays
follow each other in the same bytes."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from secure.engine import placing
from secure.engine.constants import EngineConstants
from secure.engine.evaluator import EngineBackend, Residues
from secure.engine.placing import placed, program_of
from secure.engine.program import Origin, assemble
from secure.engine.ring import EngineRing
from secure.engine.schedule import Form, schedule
from secure.engine.storages import TILE, Storage, high_bytes
from secure.params import make_params
from secure.seal.context import make_ring
from tests.secure.own_keys import OwnParty
from tests.secure.plans import SMALL, Builder, baby_giant_plan, complex_plan

BIG = 2**30
#: Primes whose packed residues need two or four more bytes than 32 bits.
WIDE, LARGEST = make_params(4096, [30, 29], 44), make_params(4096, [27, 28], 50)


def constants_of(plan, cache_bytes):
    return EngineConstants(EngineRing(make_ring(plan.params)), plan, schedule(plan), cache_bytes)


def storages_of(constants):
    return {storage for storage, size in constants.bytes_by_storage.items() if size}


@pytest.mark.parametrize("params", [SMALL, WIDE, LARGEST], ids=["40 bits", "44 bits", "50 bits"])
def test_answers_are_the_same_to_the_last_bit_however_constants_are_stored(params):
    plan = replace(baby_giant_plan(babies=5), params=params)
    party = OwnParty(plan)
    value = Residues(party.random_value())
    whole = party.backend.resources.constants.bytes_by_storage[Storage.WHOLE]
    answers, seen = [], set()
    for room, threads in ((whole, 1), (whole - 1, 1), (whole // 4, 2), (whole // 8, 1), (whole // 24, 1), (0, 1)):
        backend = EngineBackend(party.ring, plan, room, None, threads)
        constants = backend.resources.constants
        assert sum(constants.bytes_by_storage.values()) <= room
        seen |= storages_of(constants)
        answers.append(backend.run(backend.evaluator(party.keys()), [value])[0].rows)
    for one, other in pairwise(answers):
        np.testing.assert_array_equal(one, other)
    assert seen == {Storage.WHOLE, Storage.SMALL, Storage.SMALL_LIFTED, Storage.PACKED}
    assert high_bytes(params.special_prime) == {SMALL: 1, WIDE: 2, LARGEST: 4}[params]


def test_constants_fill_their_memory_in_the_order_whole_packed_small_and_what_is_left_is_encoded_at_every_use():
    plan = baby_giant_plan()
    keys = schedule(plan).constants
    products = [key for key in keys if key != keys[-1]]  # the last one is a summand
    whole = constants_of(plan, BIG).bytes_by_storage[Storage.WHOLE]
    fits = constants_of(plan, whole // 2)
    assert all(fits.kept(*key).storage is Storage.PACKED for key in products)
    assert fits.kept(*keys[-1]).storage is Storage.WHOLE
    assert fits.bytes_by_storage[Storage.PACKED] < 0.33 * whole  # half of the residues, in five of eight bytes
    least = sum(2 * (SMALL.poly_modulus_degree // 2 + 8) for _ in products)
    small = constants_of(plan, least)
    assert storages_of(small) == {Storage.SMALL, Storage.SMALL_LIFTED}
    assert small.kept(*keys[-1]) is None
    assert sum(constants_of(plan, least // 2).kept(*key) is None for key in products) > len(products) // 3


@pytest.mark.parametrize("params", [SMALL, WIDE, LARGEST], ids=["40 bits", "44 bits", "50 bits"])
def test_each_packed_row_takes_the_bytes_of_its_prime(params):
    plan = replace(baby_giant_plan(), params=params)
    keys = schedule(plan).constants[:-1]
    found = constants_of(plan, constants_of(plan, BIG).bytes_by_storage[Storage.WHOLE] - 1)
    half = params.poly_modulus_degree // 2
    for key in keys:
        held, level = found.kept(*key), plan.constants[key[0]].level
        assert held.storage is Storage.PACKED
        primes = [*params.data_primes[:level], *([params.special_prime] if key[1] is Form.EXTENDED else [])]
        assert held.array.nbytes == half * sum(4 if prime < 2**32 else 4 + high_bytes(prime) for prime in primes)


@pytest.mark.parametrize("bits", [20, 31, 32, 33, 39, 40, 41, 47, 48, 49, 50])
def test_the_parts_of_a_packed_residue_hold_the_largest_of_its_prime(bits):
    for prime in (2 ** (bits - 1) + 1, 2**bits - 1):
        size = high_bytes(prime)
        for largest in (prime // 2, -(prime // 2)):
            high, low = (largest >> 32, (largest & (2**32 - 1)) - 2**31) if size else (0, largest)
            assert -(2**31) <= low < 2**31
            assert -(2 ** (8 * size) // 2) <= high <= 2 ** (8 * size) // 2 - (size > 0)


def test_a_small_constant_has_the_residues_of_an_encoded_one_forwards_and_in_reverse():
    plan = baby_giant_plan()
    constants, half = constants_of(plan, 2**20), SMALL.poly_modulus_degree // 2
    for form in Form:
        rows = constants.encoded(1, form)
        np.testing.assert_array_equal(rows[:, :half], rows[:, : half - 1 : -1])
        moduli = constants._ring.moduli(SMALL.levels, form is Form.EXTENDED)[:, :1]
        found = unpacked(constants._packed((1, form), constants._small((1, form))), moduli[:, 0], half)
        difference = found - rows[:, :half]
        np.testing.assert_array_equal(difference, moduli * np.rint(difference / moduli))
        assert (np.abs(found) <= moduli / 2).all()


def unpacked(packed, primes, half):
    """The first halves of the rows of a packed constant, (rows, half)."""
    rows, place, left = [], 0, packed.tobytes()
    for prime in primes:
        kind = {0: None, 1: "<i1", 2: "<i2", 4: "<i4"}[high_bytes(prime)]
        row = []
        for _ in range(half // TILE):
            tile = np.frombuffer(left, dtype="<i4", count=TILE, offset=place).astype(float)
            place += 4 * TILE
            if kind:
                tile += np.frombuffer(left, dtype=kind, count=TILE, offset=place) * 2.0**32 + 2.0**31
                place += high_bytes(prime) * TILE
            row.append(tile)
        rows.append(np.concatenate(row))
    assert place == len(left)
    return np.stack(rows)


def test_complex_slots_and_large_coefficients_are_stored_whole_or_not_at_all():
    plan = complex_plan()
    assert storages_of(constants_of(plan, BIG)) == {Storage.WHOLE}
    assert storages_of(constants_of(plan, 2**10)) == set()
    builder = Builder()
    builder.multiply_plain(0, 1.0, 2.0**16)
    value = builder.multiply_plain(0, 1.0, 2.0**12)
    mixed = builder.build(builder.add(value, builder.multiply_plain(0, 1.0, 2.0**20)))
    found = constants_of(mixed, SMALL.poly_modulus_degree * 8 * 5)
    assert found.kept(1, Form.PLAIN).storage in (Storage.SMALL, Storage.PACKED)
    assert found.kept(2, Form.PLAIN).storage is Storage.WHOLE


def test_arrays_that_are_in_use_at_the_same_time_lie_apart():
    plan = baby_giant_plan(babies=6, giants=5)
    alone = assemble(plan, schedule(plan), 1, reuse=False)
    degree = SMALL.poly_modulus_degree
    program = placed(alone, degree)
    assert program.workspace <= assemble(plan, schedule(plan), 1).workspace < alone.workspace
    uses = {}
    for step, instruction in enumerate(program.instructions):
        for number in instruction.arrays:
            uses.setdefault(number, []).append(step)
    for number in program.outputs:
        uses[number].append(len(program.instructions))
    arrays = [(number, place) for number, place in enumerate(program.places) if place.origin is Origin.WORKSPACE]
    for number, place in arrays:
        assert program.scratch_rows * degree <= place.which
        assert place.which + place.parts * place.rows * degree <= program.workspace
        for other, second in arrays:
            if number < other and uses[number][0] <= uses[other][-1] and uses[other][0] <= uses[number][-1]:
                ends = (
                    place.which + place.parts * place.rows * degree,
                    second.which + second.parts * second.rows * degree,
                )
                assert ends[0] <= second.which or ends[1] <= place.which


def test_a_large_workspace_gives_the_answers_of_one_that_is_not_shared(monkeypatch):
    plan = baby_giant_plan()
    party = OwnParty(plan)
    expected = party.run(party.random_value())[0]
    monkeypatch.setattr(placing, "LARGE_BYTES", 0)
    assert program_of(plan, schedule(plan), 1).workspace < assemble(plan, schedule(plan), 1, reuse=False).workspace
    party.backend = EngineBackend(party.ring, plan, BIG, None)
    np.testing.assert_array_equal(party.run(party.random_value())[0], expected)
