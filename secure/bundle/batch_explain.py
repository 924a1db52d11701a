"""A bundle for throughput as text for people: its ring, its work by layer, sizes, and what is predicted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
from secure.coded.dry import dry_run

if TYPE_CHECKING:
    from secure.bundle.batch_specs import BatchBundle

#: Headings of the per-layer table, and the fields of the report that they show.
LAYER_COLUMNS: Mapping[str, str] = {
    "features": "features", "parts": "parts", "non-zeros": "nonzeros", "bits": "bits", "ms a block": "predicted_ms",
}  # fmt: skip


def explain_batch_bundle(bundle: BatchBundle) -> str:
    """Parameters, sizes, predictions, and work by layer. Parts that the report lacks are left out.

    Raises: FormatError for a report that holds other values than the compiler writes.
    """
    try:
        blocks = [_summary(bundle), _layers(bundle.report.get("layers", ()))]
    except MALFORMED as error:
        raise FormatError(f"report: it holds a value that cannot be shown ({error!r}); the file is altered") from error
    return "\n\n".join(block for block in blocks if block)


def _summary(bundle: BatchBundle) -> str:
    client, plan, report = bundle.client, bundle.server.plan, bundle.report
    params, run = plan.params, dry_run(plan)
    sizes = " + ".join(map(str, params.coeff_modulus_bits))
    lines = [
        f"bundle {client.bundle_id[:12]} for throughput: {shape_text(client.input_shape)} in, "
        f"{shape_text(client.output_shape)} out",
        f"ring      N = {params.poly_modulus_degree}, blocks of {params.slots} images, "
        f"log2 Q = {params.log2_qp:.1f} ({sizes} bits)",
        f"parts     {run.parts[0]} at the input, {run.parts[-1]} at the output",
        f"work      {counted(run.nonzeros, 'non-zero code')} by every image",
        *([f"slots     of random phase; {counted(len(plan.units), 'input')} of constants"] if plan.units else []),
        "keys      none on the server",
        f"inputs    {accepted_range(client.input_low, client.input_high)} are accepted",
        *(
            [f"sent      {len(plan.read_inputs)} of {len(client.input_low)} inputs; nothing reads the others"]
            if plan.read_inputs
            else []
        ),
        *front_lines(client.interface.front),
        f"error     {error_text(client.predicted_logit_error, report)}",
    ]
    if "predicted_disagreement" in report:
        lines.append(f"classes   {changed_classes(report)}")
    if (time := report.get("predicted_us_per_image")) is not None:
        lines.append(f"server    {time:.1f} us an image on one thread, {1e6 / time:,.0f} images per second (predicted)")
    if "upload_bytes" in report:
        lines += [
            f"upload    {size_text(report['upload_bytes'])} an image in a full block",
            f"download  {size_text(report['download_bytes'])} an image in a full block",
        ]
    lines += [f"warning   {warning}" for warning in report.get("warnings", ())]
    return "\n".join(lines)


def _layers(rows: Iterable[Mapping[str, Any]]) -> str:
    """One line per layer, in the plan's order."""
    cells = [[str(row.get("layer", "?")), *(cell(row.get(name)) for name in LAYER_COLUMNS.values())] for row in rows]
    return aligned([("layer", *LAYER_COLUMNS), *cells]) if cells else ""
