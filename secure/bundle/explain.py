"""A bundle as text for people: what the compiler decided, what a run will cost, what the client sends and receives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compress.checks import MALFORMED
from compress.errors import FormatError
from secure.evaluators.dry import dry_run
from secure.plan import Kind, Plan, rotation_count
from secure.seal.sizes import ciphertext_bytes, evaluation_keys_bytes

if TYPE_CHECKING:
    from secure.bundle.specs import Bundle

#: Headings of the per-layer table.
LAYER_HEADINGS = ("layer", "level", "rotations", "plain products", "squares", "rescales", "ms")

#: The values of the search's choice of rescales, in words.
RESCALING_WORDS: Mapping[str, str] = {"every": "after every square", "not_last": "after every square but the last"}


def explain_bundle(bundle: Bundle) -> str:
    """Parameters, work per layer, keys, sizes and predictions. Parts that the report lacks are left out.

    Raises: FormatError for a report that holds other values than the compiler writes.
    """
    try:
        return _explained(bundle)
    except MALFORMED as error:
        raise FormatError(f"report: it holds a value that cannot be shown ({error!r}); the file is altered") from error


def _explained(bundle: Bundle) -> str:
    blocks = [
        _summary(bundle),
        _sizes(bundle),
        _layers(bundle.report.get("layers", ())),
        _layouts(bundle.report.get("layouts", ())),
        _alternatives(bundle.report.get("weighed", ())),
    ]
    return "\n\n".join(block for block in blocks if block)


def _summary(bundle: Bundle) -> str:
    client, plan, report = bundle.client, bundle.server.plan, bundle.report
    params = plan.params
    bits = " + ".join(str(prime.bit_length()) for prime in params.data_primes)
    special = "no key switch" if params.special_prime is None else f"key switch {params.special_prime.bit_length()}"
    lines = [
        f"bundle {bundle.client.bundle_id[:12]}: {_shape(client.input_shape)} in, {_shape(client.output_shape)} out",
        f"ring      N = {params.poly_modulus_degree}, {params.slots} slots, "
        f"log2 QP = {params.log2_qp:.1f} ({bits}; {special} bits)",
        f"levels    {plan.input_level} at the input, {plan.input_level - plan.depth} at the output",
        f"work      {_work(plan)}",
        f"memory    {_count(dry_run(plan).peak_ciphertexts, 'ciphertext')} at once, "
        f"{_count(len(plan.constants), 'plaintext')}",
        f"inputs    {_range(client.input_low, client.input_high)} are accepted",
        f"error     at most {client.predicted_logit_error:.3g} at an output (six sigma, predicted{_parts(report)})",
    ]
    if "predicted_disagreement" in report:
        lines.append(f"classes   {_changed_classes(report)}")
    if "predicted_server_ms" in report:
        times = f"; {report['times']}" if "times" in report else ""
        lines.append(f"server    {report['predicted_server_ms']:.1f} ms on one thread (predicted{times})")
    if "request" in report:
        lines.append(_round_trip(report))
    if (cost := report.get("release")) is not None and cost["changed_classes"] is not None:
        lines.append(
            f"release   scores of {cost['answers']} answers with noise of {cost['noise_std']:.3g}, which changes "
            f"{cost['changed_classes']:.1%} of classes; the class alone costs no accuracy"
        )
    lines += [f"warning   {warning}" for warning in report.get("warnings", ())]
    return "\n".join(lines)


def _round_trip(report: Mapping[str, Any]) -> str:
    """What the steps of a request take, and all of them with the plan."""
    request = report["request"]
    link = request["upload_ms"] + request["download_ms"]
    loaded = request["load_ms"] + request["write_ms"]
    return (
        f"request   {report['predicted_round_trip_ms']:.1f} ms from input to answer (predicted): "
        f"{request['client_encrypt_ms']:.1f} encrypt, {link:.1f} link at {request['link_mbit_s']:g} Mbit/s "
        f"({request['upload_bytes'] / 1e3:,.0f} kB up, {request['download_bytes'] / 1e3:,.0f} kB down), "
        f"{loaded:.1f} load and write, {request['client_decrypt_ms']:.1f} decrypt, the rest the plan"
    )


def _range(low: NDArray[np.float64], high: NDArray[np.float64]) -> str:
    """The accepted inputs: one range, or by feature the narrowest and the widest."""
    if (low == low[0]).all() and (high == high[0]).all():
        return f"{low[0]:.4g} to {high[0]:.4g}"
    widths = high - low
    ends = [f"{low[i]:.4g} to {high[i]:.4g} (feature {i})" for i in (int(widths.argmin()), int(widths.argmax()))]
    return f"by feature, from {ends[0]} up to {ends[1]}"


def _parts(report: Mapping[str, Any]) -> str:
    """The bounds of either kind of error alone, for the line about the error; empty for a report without them."""
    if "predicted_systematic_error" not in report:
        return ""
    return (
        f"; alone, rounded weights at most {report['predicted_systematic_error']:.3g} "
        f"and encryption {report['predicted_random_error']:.3g}"
    )


def _changed_classes(report: Mapping[str, Any]) -> str:
    """The share of inputs whose class encryption changes: the upper limit, and what is expected."""
    limit = report["predicted_disagreement"]
    if "expected_disagreement" not in report:
        return f"encryption changes the class of {limit:.2%} of inputs (predicted)"
    return (
        f"encryption changes the class of at most {limit:.2%} of inputs (95 % confidence, "
        f"{report['disagreement_rows']} rows); {report['expected_disagreement']:.2%} are expected"
    )


def _work(plan: Plan) -> str:
    """The plan's operations by kind. Kinds that it has none of are left out."""
    counts = {
        "rotation": plan.rotations,
        "plain product": plan.count(Kind.MULTIPLY_PLAIN),
        "square": plan.count(Kind.SQUARE),
        "rescale": plan.count(Kind.RESCALE),
    }
    words = {noun: _count(number, noun) for noun, number in counts.items() if number}
    if conjugations := plan.count(Kind.CONJUGATE):
        words["rotation"] += f" ({_count(conjugations, 'conjugation')} among them)"
    return ", ".join(words.values())


def _sizes(bundle: Bundle) -> str:
    plan, manifest = bundle.server.plan, bundle.server.plan.key_manifest
    params = plan.params
    up = plan.inputs * ciphertext_bytes(params, plan.input_level, seeded=True)
    down = sum(ciphertext_bytes(params, level, seeded=False) for level in bundle.client.output_levels)
    keys = evaluation_keys_bytes(params, len(manifest.galois_elements), relinearizes=manifest.relinearize)
    held = _count(len(manifest.galois_elements), "rotation key")
    held += " and 1 relinearization key" if manifest.relinearize else ""
    return "\n".join(
        [
            f"upload    {_bytes(up)} in {_count(plan.inputs, 'ciphertext')} (estimated)",
            f"download  {_bytes(down)} in {_count(len(plan.outputs), 'ciphertext')} (estimated)",
            f"keys      {_bytes(keys)} in {held} (estimated)",
        ]
    )


def _layers(rows: Iterable[Mapping[str, Any]]) -> str:
    """One line per layer, in the plan's order."""
    cells = [
        [
            str(row.get("layer", "?")),
            _cell(row.get("level")),
            _cell(rotation_count(row) or None),
            _cell(row.get(Kind.MULTIPLY_PLAIN)),
            _cell(row.get(Kind.SQUARE)),
            _cell(row.get(Kind.RESCALE)),
            _cell(row.get("predicted_ms")),
        ]
        for row in rows
    ]
    return _table([LAYER_HEADINGS, *cells]) if cells else ""


def _layouts(stages: Sequence[Mapping[str, Any]]) -> str:
    """For each layer, the layouts that were priced, cheapest first.

    The one that was taken may cost more than another if it makes a later layer cheaper.
    """
    cells = []
    for stage in stages:
        offers = sorted(stage.get("offers", ()), key=lambda offer: offer.get("milliseconds", 0.0))
        for position, offer in enumerate(offers):
            layer = str(stage.get("layer", "?")) if position == 0 else ""
            taken = "taken" if offer.get("taken") else ""
            cells.append(
                [layer, f"{offer.get('milliseconds', float('nan')):.2f} ms", taken, str(offer.get("layout", "?"))]
            )
    if not cells:
        return ""
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    lines = [
        f"{layer.ljust(widths[0])}  {cost.rjust(widths[1])}  {taken.ljust(widths[2])}  {layout}"
        for layer, cost, taken, layout in cells
    ]
    return "layouts\n" + "\n".join(lines)


def _alternatives(alternatives: Sequence[Mapping[str, Any]]) -> str:
    """The alternatives that the search tried, the chosen one last."""
    cells = [
        [
            f"N = {row.get('degree', '?')}",
            _count(row["planes"], "input") + " per slot" if "planes" in row else "?",
            _rescaling(row),
            "rotates the input" if row.get("rotate_input") else "rotates the sums",
            f"{row.get('predicted_ms', float('nan')):.1f} ms",
            str(row.get("verdict", "")),
        ]
        for row in alternatives
    ]
    return "plans tried, the chosen one last\n" + _table(cells) if cells else ""


def _rescaling(row: Mapping[str, Any]) -> str:
    """After which squares the plan rescales, and whether by two primes."""
    chosen = str(row.get("rescaling", "?"))
    if chosen == "never":
        return "never rescales"
    primes = " by two primes" if row.get("rescale_primes") == 2 else ""
    return f"rescales{primes} {RESCALING_WORDS.get(chosen, chosen)}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned columns: the first one to the left, all others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *others = (
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _shape(shape: Sequence[int]) -> str:
    return f"{' x '.join(map(str, shape))} ({prod(shape)})" if len(shape) > 1 else str(prod(shape))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _bytes(number: float) -> str:
    """A size in decimal units, as links and disks are sold."""
    return f"{number / 1e6:.2f} MB" if number >= 1e6 else f"{number / 1e3:.1f} kB"
