"""Keep bits of a 16 x 16 grid of scores on ciphertexts: agreement with the plain ones, noise, time, keys.

    cipherpress bench keep-bits --images 100 -o out/bench

There are two settings, which differ in the least gap of scores that has to be decided. Scores have a few values only,
so that ties and narrow gaps occur; every scene is encrypted and every bit of an occupied cell is compared with the
plain rule. Times are processor time of one thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cipherpress as cp
from benchmarks.machine import this_machine
from benchmarks.report import read_result, table_head, table_row, with_note, write_result
from compress.dataset import Progress
from secure.comparison.bundling import keeping_bundle
from secure.comparison.grid import PairGrid
from secure.comparison.keeping import Keeping
from secure.comparison.plain import plain_bits
from secure.comparison.sign import composite_sign

#: Cells per side, cells per side of a window, shifts of windows, slots of a ciphertext.
SIDE, KERNEL, SHIFTS, SLOTS = 16, 3, ((0, 0), (0, 2), (2, 0), (2, 2)), 16384
#: The share of empty cells.
EMPTY = 0.6


@dataclass(frozen=True)
class Setting:
    """gap: the least difference that the sign tells from 0. degrees: of its factors. bits: of the primes.

    coarse, fine: the values that a score may have; those of `fine`, in every fourth scene, are too near to be decided.
    """

    gap: float
    degrees: tuple[int, ...]
    bits: float
    coarse: int
    fine: int


SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "8 levels for the sign": Setting(2.0**-5, (15, 15), 44, 15, 63),
        "11 levels for the sign": Setting(2.0**-8, (7, 15, 15), 38, 127, 511),
    }
)


def run(
    output: Path, *, images: int = 100, settings: Sequence[str] = tuple(SETTINGS), progress: Progress | None = None
) -> dict[str, Any]:
    """Encrypt `images` scenes for each of the settings; writes keep-bits.json and keep-bits.md into `output`, where
    rows of other settings stay as they are."""
    say = progress or (lambda label, share: None)
    path = Path(output) / "keep-bits.json"
    rows = [row for row in read_result(path)["rows"] if row["setting"] not in settings]
    for name in settings:
        rows.append({"setting": name, **_measured(SETTINGS[name], images, say)})
        rows.sort(key=lambda row: list(SETTINGS).index(row["setting"]))
        write_result(path, {"rows": rows}, keep_bits_table({"rows": rows}))
    return {"rows": rows}


def _measured(setting: Setting, images: int, say: Progress) -> dict[str, Any]:
    sign = composite_sign(setting.gap, setting.degrees, most=1.0)
    keeping = Keeping(PairGrid(SIDE, SIDE, KERNEL, SHIFTS, SLOTS), sign)
    say("plan", 0.0)
    bundle = keeping_bundle(keeping, setting.bits)
    client, server = cp.Client(bundle.client), cp.Server(bundle.server)
    key = client.evaluation_key.to_bytes()
    server.register(key)
    rng = np.random.default_rng(0)
    scenes = []
    for number in range(images):
        say(f"scene {number}", number / images)
        steps = setting.fine if number % 4 == 3 else setting.coarse
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
        scenes.append({**times, **judged(client.outputs(reply), scores, keeping), "request_bytes": len(request)})
    return {
        "command": f"cipherpress bench keep-bits --images {images} -o DIR",
        "machine": this_machine().as_json(),
        "degrees": list(setting.degrees),
        "report": bundle.report_json(),
        "key_bytes": len(key),
        "registered_key_bytes": server.registration_bytes,
        "reply_bytes": len(reply),
        "scenes": scenes,
    }


def judged(bits: NDArray[np.float64], scores: NDArray[np.float64], keeping: Keeping) -> dict[str, Any]:
    """Decrypted bits against the plain rule, on occupied cells: decided ones have no score within the least gap."""
    wanted, decided = plain_bits(scores, keeping.grid, keeping.least_gap)
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


def keep_bits_table(result: Mapping[str, Any]) -> str:
    """The result as Markdown: a column per setting."""
    rows = result["rows"]
    lines = table_head(("what", *(row["setting"] for row in rows)))
    columns = [_column(row) for row in rows]
    lines += [table_row((name, *(column[name] for column in columns))) for name in columns[0]]
    machine = rows[0]["machine"]
    note = (
        f"A grid of {SIDE} x {SIDE} cells, windows of {KERNEL} x {KERNEL} cells with three shifts. A cell is decided "
        "if no neighbour's score is within the least gap without being equal. Processor time of one thread. "
        f"{machine['cpu']}, {machine['date']}; `{rows[0]['command']}`."
    )
    return with_note(lines, note)


def _column(row: Mapping[str, Any]) -> dict[str, str]:
    scenes, report = row["scenes"], row["report"]
    total = {name: sum(scene[name] for scene in scenes) for name in scenes[0]}
    undecided = total["occupied"] - total["decided"]
    return {
        "degrees of the sign": ", ".join(map(str, row["degrees"])),
        "least gap": f"{report['least_gap']:.4f}",
        "scenes, occupied cells, cells kept": f"{len(scenes)}, {total['occupied']:,}, {total['kept']:,}",
        "decided cells, of which wrong": f"{total['decided']:,}, {total['wrong_decided']}",
        "undecided cells, of which unlike the plain rule": f"{undecided:,}, {total['wrong_undecided']}",
        "farthest that a decided bit is from 0 or 1": f"{max(scene['worst_decided'] for scene in scenes):.5f}",
        "certified without noise; noise": f"{report['deviation']:.5f}; {report['predicted_noise']:.1e}",
        "server, least and median": f"{min(scene['server_ms'] for scene in scenes):,.0f} ms, "
        f"{_median(scenes, 'server_ms'):,.0f} ms",
        "client encrypts, median": f"{_median(scenes, 'client_encrypt_ms'):,.0f} ms",
        "keys, sent once, in the server's memory": f"{report['keys']}, {row['key_bytes'] / 1e6:,.0f} MB, "
        f"{row['registered_key_bytes'] / 1e6:,.0f} MB",
        "request, reply": f"{scenes[0]['request_bytes'] / 1e6:.2f} MB, {row['reply_bytes'] / 1e6:.2f} MB",
        "N, log2 QP": f"{report['poly_modulus_degree']:,}, {report['log2_qp']:.0f}",
        "levels, rotations": f"{report['levels']}, {report['rotations']}",
        "load of the machine": f"{row['machine']['load_average']:.1f}",
    }


def _median(rows: list[dict[str, Any]], name: str) -> float:
    return float(np.median([row[name] for row in rows]))
