"""The tables of `benchmarks.peers`: the whole one, and the short one that README shows.

python -m benchmarks.table        (puts the committed result into README.md)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import table_head, table_row, with_note
from compress.artifact import write_file
from compress.errors import FormatError

RESULT = Path(__file__).parent / "results" / "peers.json"
README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->"
#: Milliseconds of TenSEAL's tutorial network on the machine on which this project's targets were set.
REFERENCE_MS = 2700.0
BASELINE = ("TenSEAL's tutorial", "TenSEAL, its tutorial's network")
HEADINGS = (
    "network", "by", "server ms (p10-p90)", "times faster", "of 2,700 ms", "accuracy in clear",
    "encrypted / clear, same images", "agreement", "images",
    "worst logit error", "keys MB", "upload KB", "answer KB", "encrypt / decrypt ms", "peak MB",
)  # fmt: skip


def peers_table(result: Mapping[str, Any]) -> str:
    """The whole table, with the machine, date and command under it.

    Raises: FormatError naming a missing field.
    """
    try:
        rows = result["rows"]
        baseline = next(r["server_ms"] for r in rows if (r["network"], r["competitor"]) == BASELINE)
        lines = table_head(HEADINGS)
        lines += [table_row(_cells(row, baseline, result["images"])) for row in rows]
        machine = result["machine"]
        note = (
            f"Medians over the first {result['images']} images of MNIST's test set, encrypted, competitors in turn, "
            f"one thread. {machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, "
            f"TenSEAL {machine['packages']['tenseal']}, load {machine['load_average']:.1f} at the start, "
            f"{machine['date']}. `{result['command']}`. Times faster: than TenSEAL's tutorial network in the same "
            "run. Of 2,700 ms: the same ratio, of the time of that network on the machine where this project's "
            "targets were set. Accuracy in clear: of the converted network, over all test images. Agreement: the "
            "share of images that get the same class encrypted and in clear, over as many of the first images as the "
            "next column says. Keys: everything that a server needs once. Peak: client and server in one process. "
            f"{planned_for(result['limits'], result['default_max_disagreement'])}"
        )
    except (KeyError, StopIteration) as error:
        raise FormatError(f"peers.json: field {error} is missing; run the benchmark again") from error
    return with_note(lines, note)


def readme_table(result: Mapping[str, Any]) -> str:
    """The short table that README shows, with date and command.

    Raises: FormatError naming a missing field.
    """
    lines = table_head(
        ("network", "by", "server ms", "times faster", "accuracy in clear", "agreement", "keys", "upload")
    )
    try:
        baseline = next(r["server_ms"] for r in result["rows"] if (r["network"], r["competitor"]) == BASELINE)
        for row in result["rows"]:
            cells = (
                row["network"],
                row["competitor"],
                f"{row['server_ms']:.1f}",
                f"{baseline / row['server_ms']:.1f}",
                f"{row['accuracy_compressed']:.2%}",
                f"{row['agreement']:.1%} of {row.get('agreement_images', result['images']):,}",
                f"{row['evaluation_key_bytes'] / 1e6:.1f} MB",
                f"{row['upload_bytes'] / 1e3:.0f} KB",
            )
            lines.append(table_row(cells))
        lines += [
            "",
            f"Medians over the first {result['images']} test digits, encrypted, competitors in turn, one thread.",
            f"{result['machine']['cpu']}, {result['machine']['date']}, `{result['command']}`.",
            "Times faster: than TenSEAL's tutorial network in the same run. Accuracy: over all 10,000 test digits.",
            "Agreement: encrypted and in clear give the same class, over as many of the first digits as the table "
            "says.",
            f"{planned_for(result['limits'], result['default_max_disagreement'])} "
            "All columns: [benchmarks/results/peers.md](benchmarks/results/peers.md).",
        ]
    except (KeyError, StopIteration) as error:
        raise FormatError(f"peers.json: field {error} is missing; run the benchmark again") from error
    return "\n".join(lines)


#: How a field of Limits is said in the tables.
LIMIT_WORDS: Mapping[str, Callable[[float], str]] = {
    "max_disagreement": lambda share: f"{share:.2%} of classes",
    "keys_bytes": lambda count: f"{count / 1e6:g} MB of keys",
    "upload_bytes": lambda count: f"{count / 1e3:g} KB of upload",
}


def planned_for(limits: Mapping[str, Mapping[str, float]], share: float) -> str:
    """A sentence about the limits that plans had to keep to. share: of classes, by default in that run."""
    default = f"Every plan may change at most {share:.2%} of classes by prediction"
    if not limits:
        return f"{default}."
    others = [
        f"{network} {', '.join(LIMIT_WORDS[field](value) for field, value in fields.items())}"
        for network, fields in limits.items()
    ]
    return f"{default}; other limits: {'; '.join(others)}."


def with_figures(text: str, result: Mapping[str, Any]) -> str:
    """README with the short table between its marks."""
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}{readme_table(result)}\n{END}{rest.partition(END)[2]}"


def _cells(row: Mapping[str, Any], baseline: float, images: int) -> list[str]:
    return [
        row["network"],
        row["competitor"],
        f"{row['server_ms']:.1f} ({row['server_ms_p10']:.1f}-{row['server_ms_p90']:.1f})",
        f"{baseline / row['server_ms']:.1f}",
        f"{REFERENCE_MS * row['server_ms'] / baseline:.1f}",
        f"{row['accuracy_compressed']:.2%}",
        f"{row['accuracy_encrypted']:.3f} / {row['accuracy_clear']:.3f}",
        f"{row['agreement']:.3f}",
        str(row.get("agreement_images", images)),
        f"{row['max_logit_error']:.3g}",
        f"{row['evaluation_key_bytes'] / 1e6:.2f}",
        f"{row['upload_bytes'] / 1e3:.0f}",
        f"{row['download_bytes'] / 1e3:.0f}",
        f"{row['client_encrypt_ms']:.1f} / {row['client_decrypt_ms']:.1f}",
        f"{row['peak_rss_bytes'] / 1e6:.0f}",
    ]


if __name__ == "__main__":
    write_file(
        README, with_figures(README.read_text(encoding="utf-8"), json.loads(RESULT.read_bytes())).encode(), force=True
    )
