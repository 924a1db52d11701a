"""The tables of `benchmarks.throughput`: the whole one, and the short one that README shows.

python -m benchmarks.throughput_table        (puts the committed result into README.md)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import table_head, table_row, with_note
from compress.artifact import write_file
from compress.errors import FormatError

RESULT = Path(__file__).parent / "results" / "throughput.json"
README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- throughput: begin -->\n", "<!-- throughput: end -->"
#: Milliseconds of TenSEAL's tutorial network on the machine on which this project's targets were set.
REFERENCE_MS = 2700.0
#: Images per second of HElayers on 784-64-10 in batches of 256, on a machine where TenSEAL's tutorial network takes
#: REFERENCE_MS: the median of three rounds, 2.8 ms an image, one thread, measured for this project.
HELAYERS_IMAGES_PER_S = 357.0
HEADINGS = (
    "network", "method", "times smaller", "non-zeros", "log2 Q", "N", "primes", "parts", "images/s", "scaled",
    "wire to wire", "encrypts, images/s", "KB up / down", "accuracy in clear", "encrypted / clear, same images",
    "agreement", "largest error / bound", "predicted / measured",
)  # fmt: skip
README_HEADINGS = (
    "network", "method", "non-zeros", "log2 Q", "images/s", "times dense", "accuracy in clear", "agreement",
    "KB an image",
)  # fmt: skip
#: What README shows of every network.
SHOWN = (
    "float weights", "dense, 5 bits", "dense, 4 bits, taught", "OPQ 75 %, taught", "OPQ 80 %", "OPQ 90 %",
    "joint, 8 bits", "joint, 5 bits",
)  # fmt: skip
#: What "times dense" compares with.
DENSE = "dense, 5 bits"


def throughput_table(result: Mapping[str, Any]) -> str:
    """The whole table, with the machine, date and command under it.

    Raises: FormatError naming a missing field.
    """
    try:
        lines = table_head(HEADINGS)
        lines += [table_row(_cells(row)) for row in result["rows"]]
        machine = result["machine"]
        tutorials = [row["tutorial_ms"] for row in result["rows"]]
        note = (
            f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, load "
            f"{machine['load_average']:.1f} at the start, {machine['date']}. `{result['command']}`. "
            "Times are processor time of one thread, medians "
            "over blocks of N / 2 images. Images/s: from residues in memory to residues in memory, by the lower "
            "quartile of nine rounds in which all plans of a network take turns, one prime at a time. Scaled: the "
            f"same on a machine where TenSEAL's tutorial network takes {REFERENCE_MS:,.0f} ms; here it took "
            f"{min(tutorials):,.0f} to {max(tutorials):,.0f} ms in the same run. Wire to wire: from the bytes of a "
            "request to those of its reply. Parts: polynomials of an answer's ciphertext. KB: of one image of a full "
            "block. Accuracy in clear: of the converted network, over all test images. The others: over the first "
            f"{_images(result)} test images. Largest error: of an output, against the plan in clear, over its bound. "
            f"Predicted: time of a block, by {_origin(result)}. "
            "Evaluation keys: none. Networks are converted by the zoo's press settings; OPQ prunes in three shots "
            "above 50 %, with an epoch between them and three after the last; accuracies are "
            f"on test images. HElayers does {HELAYERS_IMAGES_PER_S:,.0f} images/s on mlp's shape in batches of 256 on "
            f"the machine that figures are scaled to{_times_helayers(result)}."
        )
    except (KeyError, ValueError) as error:
        raise FormatError(f"throughput.json: field {error} is missing; run the benchmark again") from error
    return with_note(lines, note)


def readme_table(result: Mapping[str, Any]) -> str:
    """The short table that README shows.

    Raises: FormatError naming a missing field.
    """
    lines = table_head(README_HEADINGS)
    try:
        dense = {row["network"]: row for row in result["rows"] if row["variant"] == DENSE}
        for row in result["rows"]:
            if row["variant"] not in SHOWN:
                continue
            cells = (
                row["network"],
                row["variant"],
                f"{row['nonzeros']:,}",
                f"{row['log2_q']:.0f}",
                f"{scaled(row):,.0f}",
                f"{row['images_per_s_arithmetic'] / dense[row['network']]['images_per_s_arithmetic']:.1f}",
                f"{row['accuracy_clear']:.2%}",
                f"{row['agreement']:.2%} of {row['images']:,}",
                f"{row['upload_bytes'] / 1e3:.1f}",
            )
            lines.append(table_row(cells))
        lines += [
            "",
            "Images/s: of the server's arithmetic on one thread, scaled to a machine where TenSEAL's tutorial network "
            f"takes {REFERENCE_MS / 1e3:.1f} s, as above.",
            f"{result['machine']['cpu']}, {result['machine']['date']}, `{result['command']}`. No evaluation key.",
            f"HElayers does {HELAYERS_IMAGES_PER_S:,.0f} images/s on mlp's shape in batches of 256 on that "
            f"machine{_times_helayers(result)}.",
            "All rows and columns: [benchmarks/results/throughput.md](benchmarks/results/throughput.md).",
        ]
    except KeyError as error:
        raise FormatError(f"throughput.json: field {error} is missing; run the benchmark again") from error
    return "\n".join(lines)


def scaled(row: Mapping[str, Any]) -> float:
    """Images per second on the machine on which targets were set, by the time of TenSEAL's tutorial network."""
    return float(row["images_per_s_arithmetic"] * row["tutorial_ms"] / REFERENCE_MS)


def with_throughput(text: str, result: Mapping[str, Any]) -> str:
    """README with the short table between its marks."""
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}{readme_table(result)}\n{END}{rest.partition(END)[2]}"


def _origin(result: Mapping[str, Any]) -> str:
    """Where the kernel times come from that predict."""
    fitted = result.get("kernel_times", {})
    if not fitted:
        return "typical kernel times"
    names = ", ".join(sorted(fitted))
    return f"kernel times that were fitted in the same rounds, as `cipherpress calibrate` does, for {names}"


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        row["network"],
        row["variant"],
        f"{row['compression_rate']:.1f}",
        f"{row['nonzeros']:,}",
        f"{row['log2_q']:.0f}",
        str(row["poly_modulus_degree"]),
        " + ".join(map(str, row["coeff_modulus_bits"])),
        str(row["parts"][-1]),
        f"{row['images_per_s_arithmetic']:,.0f}",
        f"{scaled(row):,.0f}",
        f"{row['images_per_s']:,.0f}",
        f"{row['client_images_per_s']:,.0f}",
        f"{row['upload_bytes'] / 1e3:.1f} / {row['download_bytes'] / 1e3:.2f}",
        f"{row['accuracy_clear']:.2%}",
        f"{row['accuracy_encrypted']:.4f} / {row['accuracy_same_images']:.4f}",
        f"{row['agreement']:.4f}",
        f"{row['max_logit_error']:.3g} / {row['predicted_logit_error']:.3g}",
        f"{row['predicted_block_ms'] / row['arithmetic_block_ms']:.2f}",
    ]


def _images(result: Mapping[str, Any]) -> str:
    """How many images the rows were measured on."""
    counts = sorted({row["images"] for row in result["rows"]})
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"


def _times_helayers(result: Mapping[str, Any]) -> str:
    """How many times the dense mlp is faster, wire to wire, which is what HElayers was measured on."""
    rows = [row for row in result["rows"] if (row["network"], row["variant"]) == ("mlp", DENSE)]
    if not rows:
        return ""
    ours = rows[0]["images_per_s"] * rows[0]["tutorial_ms"] / REFERENCE_MS
    return f"; the dense mlp here {ours:,.0f} from bytes to bytes, {ours / HELAYERS_IMAGES_PER_S:,.0f} times as many"


if __name__ == "__main__":
    content = with_throughput(README.read_text(encoding="utf-8"), json.loads(RESULT.read_bytes()))
    write_file(README, content.encode(), force=True)
