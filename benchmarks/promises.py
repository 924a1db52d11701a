"""Error bounds against fresh inputs: random networks of depth 1 to 8 on few and many rows of several distributions.

cipherpress bench promises -o DIR

Every network is compiled from rows of its distribution. Fresh inputs of the same distribution then meet the errors of
its plan: systematic ones exactly, random ones sampled from the standard deviation that is computed for every input.
Inputs whose values wrap around the modulus count as outside the bound. For some networks, a part of the inputs runs
encrypted too. Rows are written to promises.json as soon as they are measured. Rows that exist are not measured again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import this_machine
from benchmarks.promise_networks import KINDS, network, rows
from benchmarks.report import has_row, read_result, table_head, table_row, with_note, write_result
from compress.dataset import Progress
from compress.errors import CipherpressError
from compress.network import Network
from compress.robust import input_range, without_outliers
from secure.bounds.assessment import row_errors
from secure.bundle.specs import Bundle
from secure.compiling.compile import bundle_of, chosen_draft
from secure.compiling.judging import check_bound
from secure.drafting.draft import Draft
from secure.kernels.counts import TYPICAL_TIMES
from secure.kernels.requests import TYPICAL_PRICES
from secure.limits import Limits
from secure.verify.roundtrip import encrypted_outputs
from secure.verify.worst_case import Fullness

Array = NDArray[np.float64]

DEPTHS, COUNTS, WIDTHS = (1, 2, 3, 4, 6, 8), (60, 300, 2000), (12, 32)
#: How many networks every depth and number of rows has; distributions and widths take turns. Deep ones, which take
#: long, have one.
NETWORKS, DEEP = 3, 6
#: Fresh inputs of every network, and rows that its weights are normalized on, which the compiler does not see.
FRESH, NORMALIZED = 10_000, 512
#: The share of the rows that are held out.
HELD_OUT = 0.25
#: Of the inputs with the largest answers, so many are looked at for values that wrap around.
LARGEST = 32
#: Every so many networks, one runs so many inputs encrypted.
ENCRYPTED_EVERY, ENCRYPTED = 9, 200
#: How many inputs' errors are computed at the same time.
CHUNK_ROWS = 1000
LIMITS = Limits(max_disagreement=0.02)
HEADINGS = (
    "activations", "rows", "networks", "compiled", "refused", "outside the bound, of 10,000", "most of one network",
    "bound / largest error, median", "most", "answers whose bound grows", "networks with a warning of the bound",
)  # fmt: skip


def jobs() -> Iterator[dict[str, Any]]:
    """The settings of every row, first one for every depth and number of rows."""
    kinds = list(KINDS)
    turns = product(range(NETWORKS), DEPTHS, COUNTS)
    pairs = [(depth, count) for turn, depth, count in turns if turn == 0 or depth < DEEP]
    for number, (depth, count) in enumerate(pairs):
        kind, width = kinds[number % len(kinds)], WIDTHS[number % len(WIDTHS)]
        yield {"depth": depth, "rows": count, "kind": kind, "width": width, "seed": number}


def run(output: Path, *, images: int = FRESH, progress: Progress | None = None) -> dict[str, Any]:
    """Measure every network on `images` fresh inputs; write promises.json and promises.md into `output`."""
    path, report = Path(output) / "promises.json", progress or (lambda label, share: None)
    result = read_result(path)
    wanted = list(jobs())
    for number, job in enumerate(wanted):
        report(f"{job['depth']} activations, {job['rows']} {job['kind']} rows", number / len(wanted))
        if has_row(result, job):
            continue
        encrypted = ENCRYPTED if number % ENCRYPTED_EVERY == 0 else 0
        row = {**job, "images": images, **measured(job, images, encrypted)}
        result = {
            "machine": this_machine().as_json(),
            "command": "cipherpress bench promises -o DIR",
            "rows": [*result["rows"], row],
        }
        write_result(path, result, promises_table(result))
    return result


def measured(job: Mapping[str, Any], images: int, encrypted: int) -> dict[str, Any]:
    """What a network's bound is and what its errors are. encrypted: how many inputs run encrypted as well."""
    start, kind, seed = process_time(), job["kind"], job["seed"]
    width, hidden = job["width"], max(3 * job["width"] // 4, 4)
    made = network((width, *[hidden] * job["depth"], 3), rows(kind, NORMALIZED, width, seed + 1000), seed)
    try:
        bundle, draft = _compiled(made, rows(kind, job["rows"], width, seed))
    except CipherpressError as error:
        return {"refused": f"{type(error).__name__}: {error}", "seconds": process_time() - start}
    compiled = process_time()
    new = rows(kind, images, width, seed + 2000)
    inside = ((new >= bundle.client.input_low) & (new <= bundle.client.input_high)).all(axis=1)
    found = _held(bundle, draft, made, new[inside])
    if encrypted:
        found["encrypted"] = _encrypted(bundle, draft, made, new[inside][:encrypted])
    return {
        "refused": "",
        "refused_inputs": float(1 - inside.mean()),
        **found,
        "compile_seconds": compiled - start,
        "seconds": process_time() - start,
    }


def _compiled(made: Network, seen: Array) -> tuple[Bundle, Draft]:
    held_out = seen[: int(HELD_OUT * len(seen))]
    calibration: Array = np.asarray(without_outliers(seen[len(held_out) :]), dtype=np.float64)
    accepted = input_range(calibration)
    draft, outcome = chosen_draft(
        made, calibration, held_out, accepted,
        limits=LIMITS, times=(TYPICAL_TIMES, TYPICAL_TIMES), requests=TYPICAL_PRICES,
        progress=lambda label, share: None,
    )  # fmt: skip
    check_bound(draft)  # as `compile_network` does
    return bundle_of(made, draft, outcome.weighed, TYPICAL_TIMES, accepted), draft


def _held(bundle: Bundle, draft: Draft, made: Network, inputs: Array) -> dict[str, Any]:
    """How the bound holds for accepted inputs."""
    answers, errors = made.run(inputs), np.abs(sampled_errors(draft, inputs)).max(axis=0)
    bounds, bound = bundle.client.error_bound(answers), bundle.client.predicted_logit_error
    sizes = np.abs(answers).max(axis=1)
    fullness = np.full(len(inputs), -np.inf)
    largest = np.argsort(sizes)[-LARGEST:]
    fullness[largest] = Fullness(bundle).values(inputs[largest])
    usual = bounds == bound
    return {
        "inputs": len(inputs),
        "outside": int(np.sum((errors > bounds) | (fullness > 0))),
        "wrapped": int(np.sum(fullness > 0)),
        "bound": bound,
        "bound_over_largest": bound / float(errors[usual].max()),
        "grown_bound_over_largest": float(bounds[errors.argmax()] / errors.max()),
        "grown": float(1 - usual.mean()),
        "bound_over_rows": bound / draft.assessment.largest if draft.assessment else None,
        "rms": float(np.sqrt(np.mean(answers**2))),
    }


def sampled_errors(draft: Draft, inputs: Array) -> Array:
    """One draw of the errors of a draft's plan, (outputs, rows): exact systematic ones, Gaussian random ones.

    In chunks, so small that every row's own standard deviation is computed.
    """
    rng, found = np.random.default_rng(0), []
    for start in range(0, len(inputs), CHUNK_ROWS):
        errors = row_errors(draft, inputs[start : start + CHUNK_ROWS])
        found.append(errors.systematic + errors.mean_sigma * rng.normal(size=errors.systematic.shape))
    return np.concatenate(found, axis=1)


def _encrypted(bundle: Bundle, draft: Draft, made: Network, inputs: Array) -> dict[str, Any]:
    """The same for inputs that run encrypted: how many are outside, and the errors' rms over that of the sampled."""
    outputs, _ = encrypted_outputs(bundle, inputs, lambda label, share: None)
    answers = made.run(inputs)
    off = outputs - answers
    sampled = sampled_errors(draft, inputs).T
    return {
        "inputs": len(inputs),
        "outside": int(np.sum(np.abs(off).max(axis=1) > bundle.client.error_bound(answers))),
        "median_over_sampled": float(np.median(np.abs(off)) / np.median(np.abs(sampled))),
    }


def promises_table(result: Mapping[str, Any]) -> str:
    """A line for every depth and number of rows, as a Markdown table."""
    lines = table_head(HEADINGS)
    for depth, count in product(DEPTHS, COUNTS):
        own = [row for row in result["rows"] if row["depth"] == depth and row["rows"] == count]
        if not own:
            continue
        compiled = [row for row in own if not row["refused"]]
        cells = [str(depth), f"{count:,}", str(len(own)), str(len(compiled)), str(len(own) - len(compiled))]
        if compiled:
            per = [1e4 * row["outside"] / row["inputs"] for row in compiled]
            loose = [row["bound_over_largest"] for row in compiled]
            cells += [
                f"{np.mean(per):.2f}", f"{max(per):.1f}", f"{np.median(loose):.1f}", f"{max(loose):.1f}",
                f"{np.mean([row['grown'] for row in compiled]):.2%}",
                str(sum(bool(row["bound_over_rows"] > 5) for row in compiled)),
            ]  # fmt: skip
        else:
            cells += [""] * (len(HEADINGS) - len(cells))
        lines.append(table_row(cells))
    return with_note(lines, _note(result))


def _note(result: Mapping[str, Any]) -> str:
    rows = result["rows"]
    compiled = [row for row in rows if not row["refused"]]
    inputs, outside = sum(row["inputs"] for row in compiled), sum(row["outside"] for row in compiled)
    encrypted = [row["encrypted"] for row in compiled if "encrypted" in row]
    ratios = [one["median_over_sampled"] for one in encrypted]
    shared = ", ".join(f"{kind}: {words}" for kind, words in KINDS.items())
    said = [
        f"- refused: {row['depth']} activations, {row['rows']:,} {row['kind']} rows: {row['refused']}"
        for row in rows
        if row["refused"]
    ]
    note = (
        f"{len(rows)} random dense networks with quadratic activations, 12 or 32 wide, without normalization; "
        f"distributions in turn ({shared}). {inputs:,} fresh inputs, {outside} outside the bound of their answer "
        f"({1e4 * outside / max(inputs, 1):.2f} of 10,000), {sum(row['wrapped'] for row in compiled)} of them wrapped "
        "around the modulus. Errors: systematic ones exactly, random ones sampled from the computed standard deviation "
        "of each input. Bound / largest error: over answers whose bound does not grow. Warning: the bound is more than "
        "5 times the largest one of the rows. "
        f"{sum(one['inputs'] for one in encrypted):,} inputs of {len(encrypted)} networks ran encrypted too: "
        f"{sum(one['outside'] for one in encrypted)} outside; their median error over that of the sampled errors is "
        f"{min(ratios, default=0):.2f} to {max(ratios, default=0):.2f}. {result['machine']['cpu']}, "
        f"{result['machine']['date']}, {sum(row['seconds'] for row in rows):.0f} s of processor time, "
        f"`{result['command']}`."
    )
    return "\n".join([note, *(["", *said] if said else [])])
