"""A bundle as text for people: what the compiler decided, what a run will cost, what the client sends and receives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from secure.evaluators.dry import dry_run
from secure.plan import Kind
from secure.seal.sizes import ciphertext_bytes, evaluation_keys_bytes

if TYPE_CHECKING:
    from secure.bundle.specs import Bundle

#: Columns of the per-layer table: heading and the report's key.
LAYER_COLUMNS: tuple[tuple[str, str], ...] = (
    ("level", "level"),
    ("rotate", Kind.ROTATE.value),
    ("times plain", Kind.MULTIPLY_PLAIN.value),
    ("square", Kind.SQUARE.value),
    ("rescale", Kind.RESCALE.value),
    ("ms", "predicted_ms"),
)


def explain_bundle(bundle: Bundle) -> str:
    """Parameters, work per layer, keys, sizes and predictions. Parts that the report lacks are left out."""
    blocks = [
        _summary(bundle),
        _sizes(bundle),
        _layers(bundle.report.get("layers", ())),
        _layouts(bundle.report.get("layouts", ())),
        _weighed(bundle.report.get("weighed", ())),
    ]
    return "\n\n".join(block for block in blocks if block)


def _summary(bundle: Bundle) -> str:
    client, plan, report = bundle.client, bundle.server.plan, bundle.report
    params = plan.params
    bits = " + ".join(str(prime.bit_length()) for prime in params.data_primes)
    special = "no key switch" if params.special_prime is None else f"key switch {params.special_prime.bit_length()}"
    counts = ", ".join(f"{plan.count(kind)} {label}" for kind, label in _COUNTED if plan.count(kind))
    lines = [
        f"bundle {bundle.client.bundle_id[:12]}: {_shape(client.input_shape)} in, {_shape(client.output_shape)} out",
        f"ring      N = {params.poly_modulus_degree}, {params.slots} slots, "
        f"log2 QP = {params.log2_qp:.1f} ({bits}; {special} bits)",
        f"levels    {plan.input_level} fresh, {plan.depth} used",
        f"work      {counts}",
        f"memory    {dry_run(plan).peak_ciphertexts} ciphertexts at once, {len(plan.constants)} plaintexts",
        f"error     at most {client.predicted_logit_error:.3g} at an output (six sigma, predicted)",
    ]
    if "predicted_disagreement" in report:
        lines.append(
            f"classes   {report['predicted_disagreement']:.2%} of inputs expected to change theirs (predicted)"
        )
    if "predicted_server_ms" in report:
        times = f"; {report['times']}" if "times" in report else ""
        lines.append(f"server    {report['predicted_server_ms']:.1f} ms on one thread (predicted{times})")
    return "\n".join(lines)


_COUNTED = (
    (Kind.ROTATE, "rotations"),
    (Kind.MULTIPLY_PLAIN, "plain products"),
    (Kind.SQUARE, "squares"),
    (Kind.RESCALE, "rescales"),
)


def _sizes(bundle: Bundle) -> str:
    plan, manifest = bundle.server.plan, bundle.server.plan.key_manifest
    params = plan.params
    up = plan.inputs * ciphertext_bytes(params, plan.input_level, seeded=True)
    down = sum(ciphertext_bytes(params, level, seeded=False) for level in bundle.client.output_levels)
    keys = evaluation_keys_bytes(params, len(manifest.galois_elements), relinearizes=manifest.relinearize)
    relin = " and one for relinearizing" if manifest.relinearize else ""
    return "\n".join(
        [
            f"upload    {_bytes(up)} in {_count(plan.inputs, 'ciphertext')} (estimated)",
            f"download  {_bytes(down)} in {_count(len(plan.outputs), 'ciphertext')} (estimated)",
            f"keys      {_bytes(keys)} for {_count(len(manifest.galois_elements), 'rotation')}{relin} (estimated)",
        ]
    )


def _layers(rows: Iterable[Mapping[str, Any]]) -> str:
    """One line per layer, in the plan's order."""
    cells = [[str(row.get("layer", "?")), *(_cell(row.get(key)) for _, key in LAYER_COLUMNS)] for row in rows]
    if not cells:
        return ""
    return _table([["layer", *(heading for heading, _ in LAYER_COLUMNS)], *cells])


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


def _weighed(alternatives: Sequence[Mapping[str, Any]]) -> str:
    """The alternatives that the search tried, the chosen one last."""
    cells = [
        [
            f"N = {row.get('degree', '?')}",
            f"{row.get('planes', '?')} per slot",
            f"rescaling {row.get('rescaling', '?')}" + " by two primes" * (row.get("rescale_primes") == 2),
            "rotated input" if row.get("rotate_input") else "rotated sums",
            f"{row.get('predicted_ms', float('nan')):.1f} ms",
            str(row.get("verdict", "")),
        ]
        for row in alternatives
    ]
    return "weighed\n" + _table(cells) if cells else ""


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
