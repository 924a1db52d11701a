"""A page about a bundle: one HTML file that contains its style and charts and fetches nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from compress.checks import MALFORMED
from compress.errors import FormatError
from compress.tasks import SCORE_WORDS
from hwmodel.architecture import Architecture
from hwmodel.charts import energy_by_component
from hwmodel.counts import FLOAT_BITS, PlainWorkload
from hwmodel.report import Comparison
from hwmodel.roofline import roofline
from hwmodel.svg import log_bars, log_points, stacked_shares
from secure.plan import rotation_count

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; font-size: 13px; margin: .6rem 0; }
td, th { padding: .2rem .7rem; text-align: left; }
th { border-bottom: 1px solid #999; } tr:nth-child(even) { background: #f5f5f5; } td.n { text-align: right; }
td:first-child { white-space: nowrap; } p.note { color: #555; font-size: 13px; }
figure { margin: 1rem 0; } svg { width: 100%; height: auto; margin: .4rem 0; }
.pairs { display: grid; grid-template-columns: 1fr 1fr; gap: 0 1.5rem; }
"""
PLAN_ROWS = (
    ("ring degree N", "poly_modulus_degree"), ("log2 of the whole modulus", "log2_qp"),
    ("levels at the input", "levels"), ("levels used", "depth"), ("rotations, conjugations included", "rotations"),
    ("products with plaintexts", "plain_multiplications"),
    ("products of ciphertexts", "ciphertext_multiplications"), ("rescales", "rescales"),
    ("rotation keys", "galois_keys"), ("ciphertexts in", "input_ciphertexts"),
    ("ciphertexts out", "output_ciphertexts"),
)  # fmt: skip
BATCH_PLAN_ROWS = (
    ("ring degree N", "poly_modulus_degree"), ("log2 of the whole modulus", "log2_qp"), ("primes", "limbs"),
    ("images of a block", "batch"), ("squares one after the other", "depth"), ("parts of an answer", "answer_parts"),
    ("codes that are not zero", "nonzeros"), ("images per second on one thread, predicted", "predicted_images_per_s"),
)  # fmt: skip
MEASURED_ROWS = (
    ("images", "images"), ("images per second, server", "images_per_s"),
    ("images per second, encryption", "client_images_per_s"), ("accuracy, encrypted", "accuracy_encrypted"),
    ("score, encrypted", "score_encrypted"),
    ("answers as in clear", "agreement"),
    ("largest error of an output", "max_logit_error"), ("encrypt, ms", "client_encrypt_ms"),
    ("server, ms", "server_ms"), ("decrypt, ms", "client_decrypt_ms"), ("upload, bytes", "upload_bytes"),
    ("download, bytes", "download_bytes"),
    ("keys, bytes", "evaluation_key_bytes"), ("peak memory, bytes", "peak_rss_bytes"),
    ("energy of the processor, all images and both parties, J", "package_energy_j"),
)  # fmt: skip
PLAN_LAYER_COLUMNS = (
    "layer", "level", "rotations", "multiply_plain", "square", "relinearize", "rescale", "predicted_ms",
)  # fmt: skip
BATCH_LAYER_COLUMNS = ("layer", "features", "parts", "nonzeros", "bits", "predicted_ms")
#: What the server has, by mode.
KEYS = {
    "latency": "The server computes on ciphertexts and holds no secret key.",
    "throughput": "The server computes on ciphertexts and needs no key at all.",
}
SECURITY = (
    "The server is assumed to follow the protocol (honest but curious). The circuit is hidden neither from the server "
    "nor from the client: rotation keys, sizes and latency show the sparsity pattern.",
    "Decrypted values must be rounded before they are given to the server: CKKS decryptions carry noise that depends "
    "on the key.",
)


def report_page(
    report: Mapping[str, Any],
    comparison: Comparison,
    machines: Sequence[Architecture],
    measured: Mapping[str, Any] | None = None,
) -> str:
    """The page about a bundle's report and the comparison of its costs on `machines`.

    measured: what `cipherpress infer --json` printed for the bundle; the page shows it beside the estimates.

    Raises: CostModelError when the report's plain workload is malformed; FormatError for other values than the compiler
    writes.
    """
    try:
        return _page(report, comparison, machines, measured)
    except MALFORMED as error:
        raise FormatError(f"report: it holds a value that cannot be shown ({error!r}); the file is altered") from error


def _page(
    report: Mapping[str, Any],
    comparison: Comparison,
    machines: Sequence[Architecture],
    measured: Mapping[str, Any] | None,
) -> str:
    about = report.get("about", {})
    name = about.get("source", {}).get("name", "network")
    workload = PlainWorkload.from_json(report["plain_workload"]) if "plain_workload" in report else None
    sections = [
        f"<h1>{escape(str(name))}, compiled for encrypted inference</h1>",
        _accuracy(about, report),
        _network(workload) if workload else "",
        _compression(about, workload),
        _plan(report),
        _security(report),
        _costs(comparison),
        _measured(measured) if measured else "",
        _charts(comparison, {machine.name: machine for machine in machines}),
        _kinds(comparison, measured or {}),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(str(name))}: cipherpress report</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(section for section in sections if section)
        + "\n</body></html>\n"
    )


def _accuracy(about: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    rows = []
    score = about.get("score", "accuracy")
    if {f"{prefix}_before" for prefix in ("score", "accuracy")} & about.keys():
        measured = f"measured in clear, {about.get('test_images', 'the')} test images"
        for words, when in (("before conversion", "before"), ("converted, in clear", "after")):
            value = about[f"score_{when}"] if f"score_{when}" in about else about[f"accuracy_{when}"]
            rows.append((words, f"{value:.2%}" if score == "accuracy" else f"{value:.4g}", measured))
    if "predicted_disagreement" in report:
        rows.append(("answers that encryption may change", f"{report['predicted_disagreement']:.3%}", "predicted"))
    if "predicted_logit_error" in report:
        rows.append(
            (
                "largest error of an output",
                f"{report['predicted_logit_error']:.3g}",
                "predicted, for all but one input in 10,000",
            )
        )
    title = SCORE_WORDS[score] if score in SCORE_WORDS else "accuracy"
    return f"<h2>{title[0].upper()}{title[1:]}</h2>" + _table(("", "", "figure is"), rows) if rows else ""


def _network(workload: PlainWorkload) -> str:
    rows = [
        (
            work.layer, f"{work.macs:,}", f"{work.elementwise:,}", f"{work.weights:,}",
            f"{1 - work.nonzeros / work.weights:.1%}" if work.weights else "", work.weight_bits if work.weights else "",
        )
        for work in workload.layers
        if not work.idle
    ]  # fmt: skip
    return "<h2>Network</h2>" + _table(
        ("layer", "multiply-accumulates", "element-wise", "weights", "zero", "bits"), rows
    )


def _compression(about: Mapping[str, Any], workload: PlainWorkload | None) -> str:
    steps = [
        (step.get("method", ""), ", ".join(f"{key} {value}" for key, value in step.get("options", {}).items()))
        for step in about.get("history", ())
    ]
    text = "<h2>Compression</h2>"
    text += _table(("step", "options"), steps) if steps else "<p>None recorded.</p>"
    if workload is not None and workload.total("weights"):
        weights, nonzeros = workload.total("weights"), workload.total("nonzeros")
        packed = sum(layer.packed_bits for layer in workload.layers)
        text += (
            f"<p>{nonzeros:,} of {weights:,} weights are not zero ({1 - nonzeros / weights:.1%} pruned). "
            f"Packed with their indices they take {packed / 8e3:,.1f} kB, "
            f"{weights * FLOAT_BITS / packed if packed else 1:.1f} times less than 32 bits per weight. "
            "This counts weights and indices only; <code>inspect</code> also counts codebooks, steps and biases.</p>"
        )
    return text


def _plan(report: Mapping[str, Any]) -> str:
    shown: Sequence[tuple[str, str]] = PLAN_ROWS
    columns: Sequence[str] = PLAN_LAYER_COLUMNS
    counts = dict(report)
    if _mode(report) == "throughput":
        shown, columns = BATCH_PLAN_ROWS, BATCH_LAYER_COLUMNS
        counts["answer_parts"] = report["parts"][-1]
    rows = [(label, _number(counts[key])) for label, key in shown if key in counts]
    counted = [{**row, "rotations": rotation_count(row) or ""} for row in report.get("layers", ())]
    layers = [tuple(_number(row.get(key, "")) for key in columns) for row in counted]
    headings = tuple(key.replace("_", " ") for key in columns)
    return "<h2>Plan</h2>" + _table(("", ""), rows) + _table(headings, layers)


def _security(report: Mapping[str, Any]) -> str:
    bits = report.get("security_bits")
    first = [f"{bits}-bit security by the 2024 guideline's table of moduli (eprint 2024/463)."] if bits else []
    items = "".join(f"<li>{escape(line)}</li>" for line in (*first, KEYS[_mode(report)], *SECURITY))
    return f"<h2>Security</h2><ul>{items}</ul>"


def _mode(report: Mapping[str, Any]) -> str:
    return "throughput" if report.get("mode") == "throughput" else "latency"


def _costs(comparison: Comparison) -> str:
    rows = [
        (
            report.architecture, report.mode, f"{report.latency.value:.3g}",
            f"{report.latency.low:.3g} to {report.latency.high:.3g}", f"{report.energy.value:.3g}",
            f"{report.energy.low:.3g} to {report.energy.high:.3g}", ", ".join(report.latency_basis),
            ", ".join(report.energy_basis),
        )
        for report in comparison.reports
    ]  # fmt: skip
    overhead = "".join(
        f"<li>{escape(name)}: encrypted takes {ratio:,.0f} times the plain latency</li>"
        for name, ratio in comparison.privacy_overhead.items()
    )
    whole = " of a full block" if any(report.batch > 1 for report in comparison.reports) else ""
    headings = ("machine", "mode", "ms", "low to high", "mJ", "low to high", "latency rests on", "energy rests on")
    return (
        f"<h2>Costs of one image{whole} (modelled)</h2>"
        + _table(headings, rows)
        + (f"<ul>{overhead}</ul>" if overhead else "")
    )


def _measured(measured: Mapping[str, Any]) -> str:
    left_out = {"score_encrypted"} if "accuracy_encrypted" in measured else set()  # the same number
    rows = [
        (label, _number(measured[key]), "measured") for label, key in MEASURED_ROWS if key in measured.keys() - left_out
    ]
    return "<h2>The real run</h2>" + _table(("", "", "figure is"), rows) if rows else ""


def _charts(comparison: Comparison, machines: Mapping[str, Architecture]) -> str:
    bars = [(f"{r.architecture}, {r.mode}", r.latency.value, r.latency.low, r.latency.high) for r in comparison.reports]
    energies = [
        (f"{r.architecture}, {r.mode}", r.energy.value, r.energy.low, r.energy.high) for r in comparison.reports
    ]
    stacks = [(f"{r.architecture}, {r.mode}", energy_by_component(r)) for r in comparison.reports]
    charts = [
        _figure("Latency, milliseconds per image (modelled)", log_bars(bars, "ms")),
        _figure("Energy, millijoules per image (modelled)", log_bars(energies, "mJ")),
        _figure("Where the energy goes (modelled)", stacked_shares(stacks, "mJ")),
    ]
    roofs = []
    for report in comparison.reports:
        roof = roofline(report, machines[report.architecture]) if report.architecture in machines else None
        if roof is None:
            continue
        points = [(p.layer, p.operations_per_byte, p.operations_per_s) for p in roof.points if p.operations_per_byte]
        chart = log_points(
            points,
            (f"{roof.operation}s per byte moved", f"{roof.operation}s per second"),
            (roof.peak_operations_per_s, roof.memory_bytes_per_s),
        )
        roofs.append(_figure(f"Roofline of {roof.architecture} (modelled)", chart))
    return "".join(charts) + f'<div class="pairs">{"".join(roofs)}</div>'


def _kinds(comparison: Comparison, measured: Mapping[str, Any]) -> str:
    if not comparison.reports:
        return ""
    energy = (
        "The energy of the real run is from the platform's counter of whole processors, with all other work on them."
        if "package_energy_j" in measured
        else "No energy was measured."
    )
    return (
        '<h2>What the figures are</h2><p class="note">Measured: by a run on the machine that is named. Modelled: '
        "computed from the counts of this plan and the coefficients of a machine, each measured, cited, derived or "
        "assumed; the columns say which. Low and high combine the lows and the highs of all coefficients. "
        f"{energy}</p>"
    )


def _figure(caption: str, svg: str) -> str:
    return f"<figure><figcaption>{escape(caption)}</figcaption>{svg}</figure>" if svg else ""


def _table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f"<th>{escape(str(heading))}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>" if body else ""


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
