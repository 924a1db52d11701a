"""What compile promises, on inputs that it has not seen: the bound of errors and the share of changed classes."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import secure.bounds.assessment as assessment
import secure.compiling.compile as compiling
from compress.errors import CalibrationError, InputShapeError, PrecisionError
from secure.bounds.assessment import Errors, assess, row_errors
from secure.bounds.tail import upper_mean, upper_tail
from secure.compiling.compile import compile_network
from secure.compiling.judging import check_bound, promise_warnings
from secure.growth import grows_beyond
from secure.kernels.counts import TYPICAL_TIMES
from secure.limits import Limits
from secure.noise import BOUND_SIGMAS
from secure.verify.roundtrip import encrypted_outputs
from tests.secure.random_networks import network, rows

#: Distribution of inputs, sizes of the network, held-out rows, residual additions; how far activations are bent.
FAST = {
    "one output": ("plain", (12, 10, 1), 500, False),
    "deep": ("correlated", (12, 8, 8, 8, 3), 500, False),
}
SLOW = {
    "linear": ("plain", (30, 5), 500, False),
    "few rows": ("plain", (24, 16, 3), 60, False),
    "skewed": ("skewed", (20, 16, 16, 4), 1000, False),
    "scaled": ("scaled", (20, 16, 4), 1000, False),
    "residual": ("correlated", (16, 16, 16, 16, 4), 1000, True),
    "wide": ("plain", (200, 64, 10), 1000, False),
    "eight activations": ("correlated", (8, 8, 8, 8, 8, 8, 8, 8, 8, 3), 1000, False, 0.03),
}


MANY_CHANGED = Limits(max_disagreement=0.02)


@cache
def judged(case, seed, limits):
    """(bundle, the draft that it was made from, the network)."""
    kind, sizes, held_out, residual, *bend = case
    drafts, bundle_of = [], compiling.bundle_of
    seen = rows(kind, 512 + held_out, sizes[0], seed)
    made = network(sizes, seen[:512], seed, residual=residual, **({"bend": bend[0]} if bend else {}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            compiling, "bundle_of", lambda net, draft, *more: drafts.append(draft) or bundle_of(net, draft, *more)
        )
        bundle = compile_network(made, seen[:512], times=TYPICAL_TIMES, held_out=seen[512:], limits=limits)
    return bundle, drafts[0], made


def compiled(case, seed=0, limits=MANY_CHANGED, count=10):
    """(bundle, the draft that it was made from, the network, so many new inputs)."""
    kind, sizes, *_ = case
    bundle, draft, made = judged(case, seed, limits)
    new = rows(kind, count, sizes[0], seed + 100)
    spec = bundle.client
    accepted = new[((new >= spec.input_low) & (new <= spec.input_high)).all(axis=1)]
    return bundle, draft, made, accepted


def check(case, count, seed=0):
    bundle, draft, made, inputs = compiled(case, seed, count=count)
    errors, rng = row_errors(draft, inputs), np.random.default_rng(1)
    found = errors.systematic + errors.mean_sigma * rng.normal(size=errors.systematic.shape)
    largest = np.abs(found).max(axis=0)
    bound, report = bundle.client.predicted_logit_error, bundle.report
    plain = made.run(inputs).T
    bounds = bundle.client.error_bound(plain.T)
    assert np.mean(largest > bounds) <= 1e-4
    assert bound <= 5 * largest[bounds == bound].max() and np.mean(bounds == bound) > 0.98
    assert max(report["predicted_systematic_error"], report["predicted_random_error"]) <= bound * (1 + 1e-9)
    if len(plain) > 1:
        changed = (plain + found).argmax(axis=0) != plain.argmax(axis=0)
        assert changed.mean() <= report["predicted_disagreement"]
    few = max(6, 30 // len(plain))  # 30 numbers, so that their size is not left to chance
    sent = inputs[:few]
    encrypted = encrypted_outputs(bundle, sent, lambda label, share: None)[0]
    off = np.abs(encrypted - made.run(sent))
    assert (off.max(axis=1) <= bundle.client.error_bound(encrypted)).all()
    assert np.sqrt(np.mean(off**2)) < 3 * np.sqrt(np.mean(found[:, :few] ** 2))  # the simulation is of that size
    assert np.sqrt(np.mean(off**2)) > np.sqrt(np.mean(found[:, :few] ** 2)) / 3


@pytest.mark.parametrize("name", FAST)
def test_at_most_one_input_in_ten_thousand_exceeds_the_bound_and_it_is_not_loose(name):
    check(FAST[name], 2000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", SLOW)
def test_the_same_for_networks_and_inputs_of_many_kinds(name, seed):
    check(SLOW[name], 10_000, seed)


def test_few_rows_compile_with_a_promise_that_says_how_little_they_show():
    bundle = compiled(("plain", (24, 16, 3), 60, False), limits=Limits())[0]
    report = bundle.report
    assert report["held_out"] and report["disagreement_rows"] <= 60
    least = upper_mean(np.zeros(report["disagreement_rows"]))
    assert report["expected_disagreement"] <= Limits().max_disagreement < least <= report["predicted_disagreement"]
    (warning,) = report["warnings"]
    assert warning.startswith("classes: encryption may change up to ")
    assert f"cannot show less than {least:.2%}; give more test rows" in warning
    assert f"warning   {warning}" in bundle.explain()


def test_without_held_out_rows_the_report_says_where_the_margins_come_from():
    seen = rows("plain", 1500, 10, 0)
    made = network((10, 4), seen, 0)
    (warning,) = compile_network(made, seen, times=TYPICAL_TIMES).report["warnings"]
    assert warning.startswith("classes: their margins come from 1500 calibration rows")
    held_out = rows("plain", 1500, 10, 1)
    assert "warnings" not in compile_network(made, seen, times=TYPICAL_TIMES, held_out=held_out).report


def test_margins_of_held_out_rows_count_not_those_of_calibration():
    rng = np.random.default_rng(0)
    made = network((10, 8, 3), rows("plain", 600, 10, 0), 0)
    seen = rows("plain", 4000, 10, 1)
    ordered = np.sort(made.run(seen), axis=1)
    sure = seen[np.argsort(ordered[:, -1] - ordered[:, -2])[2000:]]
    judged = [
        compile_network(made, sure[:1000], times=TYPICAL_TIMES, held_out=held_out, limits=Limits(max_disagreement=0.02))
        for held_out in (sure[1000:], seen[rng.permutation(4000)[:1000]])
    ]
    least, typical = (bundle.report["expected_disagreement"] for bundle in judged)
    assert typical > 3 * least


def test_a_large_share_of_changed_classes_may_be_allowed():
    seen = rows("plain", 600, 10, 0)
    report = compile_network(
        network((10, 8, 3), seen, 0), seen, times=TYPICAL_TIMES, limits=Limits(max_disagreement=0.6)
    ).report
    assert 0 < report["expected_disagreement"] <= 0.6 and report["predicted_logit_error"] > 0


def test_held_out_rows_that_a_client_would_refuse_are_left_out():
    seen = rows("plain", 200, 10, 0)
    made = network((10, 3), seen, 0)
    far = np.vstack([rows("plain", 100, 10, 1), np.full((7, 10), 1e6)])
    report = compile_network(made, seen, times=TYPICAL_TIMES, held_out=far).report
    assert report["disagreement_rows"] <= 100
    assert report["predicted_logit_error"] < 10


def test_unusable_held_out_rows_are_refused():
    seen = rows("plain", 50, 10, 0)
    made = network((10, 3), seen, 0)
    with pytest.raises(InputShapeError, match=r"held-out rows: shape \(9,\); the network takes \(10,\)"):
        compile_network(made, seen, times=TYPICAL_TIMES, held_out=seen[:, :9])
    with pytest.raises(CalibrationError, match="held-out rows hold values that are not finite"):
        compile_network(made, seen, times=TYPICAL_TIMES, held_out=seen * np.nan)


def test_neither_kind_of_error_alone_has_a_larger_bound_than_their_sum(monkeypatch):
    """A few systematic errors with a heavy tail, beside a random error that hardly varies."""
    draft = compiled(("plain", (8, 6, 3), 11, False))[1]
    draft = replace(draft, judged=replace(draft.judged, hardest=None))
    rng = np.random.default_rng(0)
    systematic = np.tile(np.abs(rng.standard_t(2, size=11)), (3, 1))
    sigma = np.ones_like(systematic)
    monkeypatch.setattr(assessment, "row_errors", lambda draft, inputs: Errors(systematic, sigma, sigma))
    found = assess(draft)
    assert upper_tail(systematic[0]) > found.error  # the tail of so few values is hardly known
    assert max(found.systematic_error, found.random_error) <= found.error
    assert found.error >= (systematic[0] + BOUND_SIGMAS).max()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "seed"),
    [("scaled", 3), ("plain", 3), ("scaled", 4), ("plain", 4)],
)
def test_few_rows_of_a_deep_network_promise_what_holds_for_new_ones(kind, seed):
    """Four squares without normalization; errors grow like the 16th power of the input, and so do answers."""
    bundle, draft, made, inputs = compiled((kind, (16, 12, 12, 12, 12, 3), 60, False), seed, count=10_000)
    errors, answers = row_errors(draft, inputs), made.run(inputs)
    found = np.abs(errors.systematic) + errors.mean_sigma * np.abs(
        np.random.default_rng(1).normal(size=(3, len(inputs)))
    )
    spec, hardest = bundle.client, draft.rows.hardest
    assert hardest.rows <= 512 + 60 and hardest.drawn > 30_000
    bounds, largest = spec.error_bound(answers), found.max(axis=0)
    assert np.sum(largest > bounds) <= 1
    usual = np.abs(answers).max(axis=1) <= spec.error_grows_beyond
    assert spec.predicted_logit_error <= 5 * largest[usual].max()
    assert bounds[largest.argmax()] <= 5 * largest.max()
    assert largest.max() > 2 * largest[usual].max()  # one bound for all would be loose


def test_the_bound_of_an_answer_grows_with_it():
    spec = compiled(("plain", (8, 6, 3), 60, False))[0].client
    size, bound = spec.error_grows_beyond, spec.predicted_logit_error
    assert 0 < size < np.inf
    answers = np.array([[0.0, 0.0, 0.0], [size, 0.1, 0.0], [0.0, -3 * size, size]])
    np.testing.assert_allclose(spec.error_bound(answers), [bound, bound, 3 * bound])
    np.testing.assert_array_equal(replace(spec, error_grows_beyond=np.inf).error_bound(answers), [bound] * 3)


def test_a_few_wild_answers_do_not_hide_how_the_others_are_bounded():
    sizes = np.ones(2000)
    assert grows_beyond(sizes) == 1.0
    assert grows_beyond(np.append(sizes, 3.0)) == 3.0
    assert grows_beyond(np.append(sizes, 1e6)) == 4.0


def test_a_bound_far_beyond_the_rows_says_what_they_show():
    draft = compiled(("plain", (8, 6, 3), 60, False))[1]
    found = draft.assessment
    assert not [line for line in promise_warnings(draft) if line.startswith("bound:")]
    far = replace(draft, assessment=replace(found, error=6 * found.largest))
    (warning,) = [line for line in promise_warnings(far) if line.startswith("bound:")]
    assert f"errors of {found.rows} rows are at most {found.largest:.3g}" in warning
    assert f"at most {upper_mean(np.zeros(found.rows)):.2%} of inputs have larger ones" in warning


def test_a_bound_that_says_nothing_is_refused_unless_it_is_accepted():
    draft = compiled(("plain", (8, 6, 3), 60, False))[1]
    found = draft.assessment
    check_bound(replace(draft, assessment=replace(found, error=19 * found.largest)))
    with pytest.raises(PrecisionError, match="is extrapolated from .* or accept it with --accept-loose-bound"):
        check_bound(replace(draft, assessment=replace(found, error=21 * found.largest)))
