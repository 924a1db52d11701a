"""A bundle as text for people: what the compiler decided, what a run will cost, what the client sends and receives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compress.checks import MALFORMED
from compress.errors import FormatError
from secure.bundle.text import (
    accepted_range,
    aligned,
    cell,
    changed_classes,
    counted,
    error_text,
    front_lines,
    shape_text,
    size_text,
)
from secure.evaluators.dry import dry_run
from secure.plan import Kind, Plan, rotation_count
from secure.seal.sizes import ciphertext_bytes, client_keys_bytes

if TYPE_CHECKING:
    from secure.bundle.specs import Bundle, ClientSpec

#: Headings of the per-layer table.
LAYER_HEADINGS = ("layer", "level", "rotations", "plain products", "squares", "products", "rescales", "ms")

#: The values of the search's choice of rescales, in words.
RESCALING_WORDS: Mapping[str, str] = {
    "every": "after every square",
    "not_last": "after every square but the last",
    "before_last": "before the last square",
    "before": "before every square",
}


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


def _front_lines(client: ClientSpec) -> list[str]:
    """What the client does besides encryption, where it does anything."""
    lines = front_lines(client.interface.front)
    if client.output_folds:
        lines.append(
            f"folds     the client adds {2 ** len(client.output_folds)} slots up to each output, and sees what every "
            "unit of the last hidden layer contributes"
        )
    return lines


def _summary(bundle: Bundle) -> str:
    client, plan, report = bundle.client, bundle.server.plan, bundle.report
    params = plan.params
    bits = " + ".join(str(prime.bit_length()) for prime in params.data_primes)
    special = "no key switch"
    if params.special_prime is not None:
        special = "key switch " + " + ".join(str(prime.bit_length()) for prime in params.special_primes)
    if params.digits:
        special += f", digits of {', '.join(map(str, params.digits))} primes"
    lines = [
        f"bundle {client.bundle_id[:12]}: {shape_text(client.input_shape)} in, {shape_text(client.output_shape)} out",
        f"ring      N = {params.poly_modulus_degree}, {params.slots} slots, "
        f"log2 QP = {params.log2_qp:.1f} ({bits}; {special} bits)",
        f"levels    {plan.input_level} at the input, {plan.input_level - plan.depth} at the output",
        f"work      {_work(plan)}",
        f"memory    {counted(dry_run(plan).peak_ciphertexts, 'ciphertext')} at once, "
        f"{counted(len(plan.constants), 'plaintext')}",
        f"inputs    {accepted_range(client.input_low, client.input_high)} are accepted",
        *(_front_lines(client)),
        f"error     {error_text(client.predicted_logit_error, report)}",
    ]
    if "predicted_disagreement" in report:
        lines.append(f"classes   {changed_classes(report)}")
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


def _work(plan: Plan) -> str:
    """The plan's operations by kind. Kinds that it has none of are left out."""
    counts = {
        "rotation": plan.rotations,
        "plain product": plan.count(Kind.MULTIPLY_PLAIN),
        "square": plan.count(Kind.SQUARE),
        "ciphertext product": plan.count(Kind.MULTIPLY),
        "rescale": plan.count(Kind.RESCALE),
    }
    words = {noun: counted(number, noun) for noun, number in counts.items() if number}
    if conjugations := plan.count(Kind.CONJUGATE):
        words["rotation"] += f" ({counted(conjugations, 'conjugation')} among them)"
    return ", ".join(words.values())


def _sizes(bundle: Bundle) -> str:
    plan, manifest = bundle.server.plan, bundle.server.plan.key_manifest
    params = plan.params
    up = plan.inputs * ciphertext_bytes(params, plan.input_level, seeded=True)
    down = sum(ciphertext_bytes(params, level, seeded=False) for level in bundle.client.output_levels)
    keys = client_keys_bytes(params, bundle.client.keys)
    held = counted(len(manifest.galois_elements), "rotation key")
    held += " and 1 relinearization key" if manifest.relinearize else ""
    return "\n".join(
        [
            f"upload    {size_text(up)} in {counted(plan.inputs, 'ciphertext')} (estimated)",
            f"download  {size_text(down)} in {counted(len(plan.outputs), 'ciphertext')} (estimated)",
            f"keys      {size_text(keys)} in {held} (estimated)",
        ]
    )


def _layers(rows: Iterable[Mapping[str, Any]]) -> str:
    """One line per layer, in the plan's order."""
    cells = [
        [
            str(row.get("layer", "?")),
            cell(row.get("level")),
            cell(rotation_count(row) or None),
            cell(row.get(Kind.MULTIPLY_PLAIN)),
            cell(row.get(Kind.SQUARE)),
            cell(row.get(Kind.MULTIPLY)),
            cell(row.get(Kind.RESCALE)),
            cell(row.get("predicted_ms")),
        ]
        for row in rows
    ]
    return aligned([LAYER_HEADINGS, *cells]) if cells else ""


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
            counted(row["planes"], "input") + " per slot" + ", values twice" * bool(row.get("doubled"))
            if "planes" in row
            else "?",
            _rescaling(row),
            "rotates the input" if row.get("rotate_input") else "rotates the sums",
            f"{row.get('predicted_ms', float('nan')):.1f} ms",
            str(row.get("verdict", "")),
        ]
        for row in alternatives
    ]
    return "plans tried, the chosen one last\n" + aligned(cells) if cells else ""


def _rescaling(row: Mapping[str, Any]) -> str:
    """Where the plan rescales, and whether by two primes."""
    chosen = str(row.get("rescaling", "?"))
    if chosen == "never":
        return "never rescales"
    primes = " by two primes" if row.get("rescale_primes") == 2 else ""
    return f"rescales{primes} {RESCALING_WORDS.get(chosen, chosen)}"
