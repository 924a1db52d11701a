"""Keep bits of a 16 x 16 grid of scores on ciphertexts: agreement with the plain ones, noise, time, keys.

    cipherpress bench keep-bits --images 100 -o out/bench

Scores lie on a grid of sixteen values, so that ties and narrow gaps occur; every scene is encrypted and every bit of an
occupied cell is compared with the plain rule. Times are processor time of one thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cipherpress as cp
from benchmarks.machine import this_machine
from benchmarks.report import table_head, table_row, with_note, write_result
from compress.dataset import Progress
from secure.comparison.bundling import keeping_bundle
from secure.comparison.grid import PairGrid
from secure.comparison.keeping import Keeping
from secure.comparison.sign import composite_sign
from secure.verify.memory import peak_rss_bytes

#: Cells per side, cells per side of a window, shifts of windows, slots of a ciphertext.
SIDE, KERNEL, SHIFTS, SLOTS = 16, 3, ((0, 0), (0, 2), (2, 0), (2, 2)), 16384
#: The least difference that the sign tells from 0, and the degrees of its factors.
GAP, DEGREES = 2.0**-5, (15, 15)
#: The share of empty cells, and the levels of a score: those of the second kind of scenes are too fine to be decided.
EMPTY, COARSE, FINE = 0.6, 15, 63


def run(output: Path, *, images: int = 100, progress: Progress | None = None) -> dict[str, Any]:
    """Encrypt `images` scenes, every fourth one with finer scores; writes keep-bits.json and keep-bits.md."""
    say = progress or (lambda label, share: None)
    keeping = Keeping(PairGrid(SIDE, SIDE, KERNEL, SHIFTS, SLOTS), composite_sign(GAP, DEGREES, most=1.0))
    say("plan", 0.0)
    bundle = keeping_bundle(keeping)
    client, server = cp.Client(bundle.client), cp.Server(bundle.server)
    key = client.evaluation_key.to_bytes()
    server.register(key)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(images):
        say(f"scene {number}", number / images)
        steps = FINE if number % 4 == 3 else COARSE
        scores = np.where(rng.random((SIDE, SIDE)) < EMPTY, 0.0, rng.integers(1, steps + 1, (SIDE, SIDE)) / steps)
        started = process_time()
        request = client.encrypt(scores)
        client_ms = (process_time() - started) * 1e3
        key_id, ciphertexts = server.load_request(request)
        started = process_time()
        answers = server.run_ciphertexts(key_id, ciphertexts)
        server_ms = (process_time() - started) * 1e3
        reply = server.pack_reply(key_id, answers)
        times = {"server_ms": server_ms, "client_encrypt_ms": client_ms}
        rows.append({**times, **judged(client.outputs(reply), scores, keeping), "request_bytes": len(request)})
    result: dict[str, Any] = {
        "command": f"cipherpress bench keep-bits --images {images} -o DIR",
        "machine": this_machine().as_json(),
        "report": bundle.report_json(),
        "key_bytes": len(key),
        "registered_key_bytes": server.registration_bytes,
        "peak_rss_bytes": peak_rss_bytes(),
        "reply_bytes": len(reply),
        "rows": rows,
    }
    write_result(Path(output) / "keep-bits.json", result, keep_bits_table(result))
    return result


def judged(bits: NDArray[np.float64], scores: NDArray[np.float64], keeping: Keeping) -> dict[str, Any]:
    """Decrypted bits against the plain rule, on occupied cells: decided ones have no score within the least gap."""
    wanted, decided = plain_bits(scores, keeping)
    occupied = scores > 0
    sure = occupied & decided
    return {
        "occupied": int(occupied.sum()),
        "decided": int(sure.sum()),
        "kept": int((wanted & occupied).sum()),
        "wrong_decided": int(((bits > 0.5) != wanted)[sure].sum()),
        "wrong_undecided": int(((bits > 0.5) != wanted)[occupied & ~decided].sum()),
        "worst_decided": float(np.abs(bits - wanted)[sure].max(initial=0)),
    }


def plain_bits(scores: NDArray[np.float64], keeping: Keeping) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which cells beat all neighbours, the earlier of equal cells first; and which have no other score so near that
    encryption need not tell them apart."""
    grid = keeping.grid
    keep, decided = np.ones((2, *scores.shape), dtype=np.bool_)
    padded = np.pad(scores, grid.reach)
    for number, own in enumerate(grid.neighbours):
        dy, dx = divmod(number, grid.width)
        apart = scores - padded[dy : dy + grid.lines, dx : dx + grid.columns]
        keep &= ~(own & ((apart < 0) | ((apart == 0) & (number < grid.width**2 // 2))))
        decided &= ~(own & (apart != 0) & (np.abs(apart) < keeping.least_gap))
    return keep, decided


def keep_bits_table(result: Mapping[str, Any]) -> str:
    """The result as Markdown."""
    rows, report, machine = result["rows"], result["report"], result["machine"]
    total = {name: sum(row[name] for row in rows) for name in rows[0]}
    lines = table_head(("what", "measured"))
    facts = (
        ("scenes, occupied cells, cells kept", f"{len(rows)}, {total['occupied']:,}, {total['kept']:,}"),
        (
            "decided cells (no other score within the least gap)",
            f"{total['decided']:,}, of which {total['wrong_decided']} wrong",
        ),
        (
            "undecided cells",
            f"{total['occupied'] - total['decided']:,}, of which {total['wrong_undecided']} differ from the plain rule",
        ),
        ("least gap", f"{report['least_gap']:.4f}"),
        (
            "farthest that a decided bit is from 0 or 1",
            f"{max(row['worst_decided'] for row in rows):.5f} (certified {report['deviation']:.5f}, "
            f"noise {report['predicted_noise']:.1e})",
        ),
        (
            "server",
            f"{min(row['server_ms'] for row in rows):,.0f} ms (least), {_median(rows, 'server_ms'):,.0f} ms (median)",
        ),
        ("client encrypts", f"{_median(rows, 'client_encrypt_ms'):,.0f} ms (median)"),
        (
            "keys",
            f"{report['keys']}, {result['key_bytes'] / 1e6:,.0f} MB sent once, "
            f"{result['registered_key_bytes'] / 1e6:,.0f} MB in the server's memory",
        ),
        ("request, reply", f"{rows[0]['request_bytes'] / 1e6:.2f} MB, {result['reply_bytes'] / 1e6:.2f} MB"),
        (
            "parameters",
            f"N = {report['poly_modulus_degree']:,}, log2 QP = {report['log2_qp']:.0f}, {report['levels']} levels, "
            f"{report['rotations']} rotations",
        ),
    )  # fmt: skip
    lines += [table_row(fact) for fact in facts]
    note = (
        f"A grid of {SIDE} x {SIDE} cells, windows of {KERNEL} x {KERNEL} cells with three shifts, sign of degrees "
        f"{' and '.join(map(str, DEGREES))}. Processor time of one thread. {machine['cpu']}, {machine['date']}, load "
        f"{machine['load_average']:.1f}; `{result['command']}`."
    )
    return with_note(lines, note)


def _median(rows: list[dict[str, Any]], name: str) -> float:
    return float(np.median([row[name] for row in rows]))
