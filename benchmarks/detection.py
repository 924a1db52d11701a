"""Which boxes of a detector stay: GreedyNMS, MaxpoolNMS and PSRR-MaxpoolNMS on the boxes of the digit detector.

    cipherpress bench detection --images 1000 -o out/bench

Every method's parameters are chosen by AP50:95 on TUNING scenes of MNIST's training images; the table is of as many
held-out scenes as images. Times are processor time of one thread, the least of several runs; all methods are compiled
code and check their arguments in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cipherpress as cp
from benchmarks.detections import found_in, precision_of
from benchmarks.machine import this_machine
from benchmarks.report import table_head, table_row, with_note, write_result
from cipherpress.detected import LEAST_SCORE, SELECTIONS, default_bundle, detector_bundle
from cipherpress.detection.grid import Found
from cipherpress.detection.pools import POOLS, SHIFTS, windows
from cipherpress.detection.recovery import places
from cipherpress.zoo.detectors import ANCHORS, GRID, load_detector
from cipherpress.zoo.scenes import Scenes, make_scenes
from compress.dataset import Progress
from hwmodel.architecture import PlainArray
from hwmodel.architecture_file import load_architecture
from hwmodel.selection import greedy_work, psrr_work, selection_ms

#: Scenes that parameters are chosen on; their seed is not among those of training.
TUNING, TUNING_SEED, HELD_OUT_SEED = 400, 1_000_000, 1
#: Boxes in the timed lists, and the side of the picture that they lie in.
COUNTS, SIDE = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000), 640.0
#: Pictures of a batch, each with the boxes of one; seconds for each time.
BATCH, BATCH_BOXES, SECONDS = 64, 1_000, 0.4
#: Boxes and machines of the model.
COUNTED, ARRAYS = (1_000, 10_000), ("eyeriss", "tpu-v1")
#: Scenes that are encrypted.
ENCRYPTED = 20
WIDE = cp.Anchors(image=(SIDE, SIDE))

Select = Callable[[Found], NDArray[Any]]
Options = Mapping[str, Any]


def choices() -> dict[str, list[tuple[dict[str, Any], Select]]]:
    """Every method's candidates, as what the table says of them and the selection."""
    found: dict[str, list[tuple[dict[str, Any], Select]]] = {"GreedyNMS": [], "MaxpoolNMS": [], "PSRR-MaxpoolNMS": []}
    for overlap in (0.3, 0.4, 0.5, 0.6, 0.7):
        found["GreedyNMS"].append(({"overlap": overlap}, _greedy(overlap)))
    for kernel, pools in product(
        (0.5, 0.75, 1.0, 1.5, 2.0, 3.0), (("single",), ("single", "cross-ratio", "cross-scale"))
    ):
        found["MaxpoolNMS"].append(({"kernel": kernel, "pools": len(pools)}, _maxpool(kernel, pools)))
    for kernel, stride, shifts in product((0.4, 0.5, 0.6, 0.75, 1.0), (1.0, 2.0, 4.0), SHIFTS):
        anchors = replace(ANCHORS, stride=stride, kernel=kernel)
        found["PSRR-MaxpoolNMS"].append(
            ({"kernel": kernel, "stride": stride, "shifts": shifts}, _psrr(anchors, shifts))
        )
    return found


def _greedy(overlap: float) -> Select:
    return lambda one: cp.greedy_nms(one.boxes, one.scores, one.classes, overlap=overlap)


def _maxpool(kernel: float, pools: Sequence[str]) -> Select:
    anchors = replace(ANCHORS, kernel=kernel)
    return lambda one: cp.maxpool_nms(
        one.boxes, one.scores, one.classes, anchors=anchors, sources=one.sources, pools=pools
    )


def _psrr(anchors: cp.Anchors, shifts: str) -> Select:
    return lambda one: cp.psrr_nms(one.boxes, one.scores, one.classes, anchors=anchors, shifts=shifts)


def run(output: Path, *, images: int = 1000, progress: Progress | None = None) -> dict[str, Any]:
    """Measure precision on `images` held-out scenes, and times; writes detection.json and detection.md."""
    say = progress or (lambda label, share: None)
    network = load_detector()
    say("scenes", 0.0)
    tuning, held_out = make_scenes(TUNING, seed=TUNING_SEED), make_scenes(images, seed=HELD_OUT_SEED, held_out=True)
    tuning_found, found = found_in(network, tuning), found_in(network, held_out)
    chosen: dict[str, tuple[dict[str, Any], Select]] = {}
    for name, candidates in choices().items():
        say(f"parameters of {name}", 0.2)
        reached = [
            precision_of(tuning_found, [select(one) for one in tuning_found], tuning)["ap50_95"]
            for _, select in candidates
        ]
        chosen[name] = candidates[int(np.argmax(reached))]
    greedy = [chosen["GreedyNMS"][1](one) for one in found]
    rows = []
    for name, (options, select) in chosen.items():
        kept = [select(one) for one in found]
        rows.append(
            {"method": name, **precision_of(found, kept, held_out), **likeness(kept, greedy), "options": options}
        )
    result: dict[str, Any] = {
        "command": f"cipherpress bench detection --images {images} -o DIR",
        "machine": this_machine().as_json(),
        "scenes": images,
        "tuning_scenes": TUNING,
        "candidates_per_scene": float(np.mean([len(one.boxes) for one in found])),
        "digits_per_scene": len(held_out.boxes) / images,
        "rows": rows,
        "times": times(say),
        "modelled": modelled(),
        "encrypted": encrypted(held_out, found, say),
    }
    write_result(Path(output) / "detection.json", result, detection_table(result))
    return result


def likeness(kept: Sequence[NDArray[Any]], wanted: Sequence[NDArray[Any]]) -> dict[str, float]:
    """Recall and precision of the kept boxes against those that another method keeps."""
    shared = sum(len(np.intersect1d(own, other)) for own, other in zip(kept, wanted, strict=True))
    return {"recall": shared / sum(map(len, wanted)), "precision": shared / sum(map(len, kept))}


def crowd(count: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boxes and scores: eight noisy boxes per object, as in the fidelity measurement that kernels come from."""
    objects = max(1, count // 8)
    size = rng.uniform(40, 300, (objects, 1)) * np.exp(rng.normal(0, 0.2, (objects, 2)))
    rows = np.resize(np.arange(objects), count)
    centre = rng.uniform(0, SIDE, (objects, 2))[rows] + rng.normal(0, 0.05, (count, 2)) * size[rows]
    half = size[rows] * np.exp(rng.normal(0, 0.08, (count, 2))) / 2
    return np.concatenate([centre - half, centre + half], axis=1), rng.random(count)


def times(say: Progress) -> list[dict[str, Any]]:
    """Milliseconds of every method on lists of boxes, one picture at a time and a batch of pictures in one call."""
    rng = np.random.default_rng(0)
    rows = []
    for place, (count, pictures) in enumerate([*((count, 1) for count in COUNTS), (BATCH_BOXES, BATCH)]):
        say(f"times of {count:,} boxes", 0.5 + 0.5 * place / (len(COUNTS) + 1))
        rows.append({"boxes": count, "pictures": pictures, **_times_of(count, pictures, rng)})
    return rows


def modelled() -> list[dict[str, Any]]:
    """Both selections on modelled arrays: operations, the longest chain, and milliseconds, for crowds of boxes."""
    rng = np.random.default_rng(0)
    rows = []
    for count in COUNTED:
        boxes, scores = crowd(count, rng)
        kept = len(cp.greedy_nms(boxes, scores))
        numbers = windows(WIDE, POOLS, "three").of(places(boxes, WIDE))
        works = {
            "greedy": greedy_work(count, kept),
            "psrr": psrr_work(count, numbers.shape[1], int(np.bincount(numbers.ravel()).max())),
        }
        for name in ARRAYS:
            array = load_architecture(name)
            assert isinstance(array, PlainArray)
            row: dict[str, Any] = {"boxes": count, "kept": kept, "architecture": name}
            for method, work in works.items():
                row[f"{method}_operations"], row[f"{method}_depth"] = work.operations, work.depth
                row[f"{method}_ms"] = selection_ms(work, array).value
            rows.append(row)
    return rows


def _times_of(count: int, pictures: int, rng: np.random.Generator) -> dict[str, float]:
    boxes, scores = crowd(count * pictures, rng)
    picture = np.repeat(np.arange(pictures), count)
    return {
        "greedy_ms": _ms(lambda: cp.greedy_nms(boxes, scores, picture)),
        "maxpool_ms": _ms(lambda: cp.maxpool_nms(boxes, scores, picture, anchors=WIDE)),
        "psrr_ms": _ms(lambda: cp.psrr_nms(boxes, scores, picture, anchors=WIDE)),
    }


def _ms(call: Callable[[], Any]) -> float:
    """The least processor time of a call, over SECONDS of calls after a first one."""
    call()
    end, least = process_time() + SECONDS, np.inf
    while process_time() < end:
        started = process_time()
        call()
        least = min(least, process_time() - started)
    return least * 1e3


def encrypted(held_out: Scenes, found: Sequence[Found], say: Progress) -> dict[str, Any]:
    """The first ENCRYPTED scenes through the compiled detector: errors, boxes against those in clear, times, sizes."""
    bundle = detector_bundle(default_bundle(), say)
    client, server = cp.Client(bundle.client), cp.Server(bundle.server)
    key = client.evaluation_key.to_bytes()
    server.register(key)
    rows = []
    for number, image in enumerate(held_out.images[:ENCRYPTED].astype(np.float64)):
        say(f"encrypted scene {number}", number / ENCRYPTED)
        request = client.encrypt(image)
        key_id, ciphertexts = server.load_request(request)
        started = process_time()
        answers = server.run_ciphertexts(key_id, ciphertexts)
        server_ms = (process_time() - started) * 1e3
        reply = server.pack_reply(key_id, answers)
        outputs = client.outputs(reply)
        ours, clear = (_likely(one) for one in (GRID.decode(outputs), found[number]))
        same = ours.classes.tolist() == clear.classes.tolist()
        rows.append(
            {
                "server_ms": server_ms,
                "error": float(np.abs(outputs - load_detector().run(image[None])[0]).max()),
                "same_classes": same,
                "largest_move": float(np.abs(ours.boxes - clear.boxes).max(initial=0)) if same else None,
                "boxes": len(ours.boxes),
                "upload_bytes": len(request),
                "download_bytes": len(reply),
            }
        )
    names = ("poly_modulus_degree", "security_bits", "predicted_server_ms", "rotations", "predicted_logit_error")
    return {"scenes": rows, "key_bytes": len(key), **{name: bundle.report[name] for name in names}}


def _likely(one: Found) -> Found:
    """The boxes that PSRR keeps among those of a score that a person would be shown."""
    shown = one.scores >= LEAST_SCORE
    likely = Found(one.boxes[shown], one.scores[shown], one.classes[shown], one.sources[shown])
    kept = SELECTIONS["psrr"](likely)
    return Found(likely.boxes[kept], likely.scores[kept], likely.classes[kept], likely.sources[kept])


def detection_table(result: Mapping[str, Any]) -> str:
    """Both tables as Markdown."""
    lines = table_head(
        ("selection", "AP50", "AP50:95", "boxes kept per scene", "recall of Greedy's boxes", "precision", "parameters")
    )
    for row in result["rows"]:
        options = ", ".join(f"{name} {value}" for name, value in row["options"].items())
        lines.append(
            table_row(
                (
                    row["method"], f"{row['ap50']:.2%}", f"{row['ap50_95']:.2%}", f"{row['kept_per_scene']:.2f}",
                    f"{row['recall']:.2%}", f"{row['precision']:.2%}", options,
                )
            )
        )  # fmt: skip
    lines += ["", *table_head(("boxes", "pictures in a call", "GreedyNMS", "MaxpoolNMS", "PSRR-MaxpoolNMS"))]
    for row in result["times"]:
        milliseconds = (f"{row[name]:.3g} ms" for name in ("greedy_ms", "maxpool_ms", "psrr_ms"))
        lines.append(table_row((f"{row['boxes']:,}", str(row["pictures"]), *milliseconds)))
    lines += [
        "",
        *table_head(
            ("boxes", "kept by Greedy", "modelled array", "Greedy: operations, chain", "PSRR: operations, chain")
            + ("Greedy", "PSRR")
        ),
    ]
    for row in result["modelled"]:
        counts = (f"{row[f'{name}_operations']:,}, {row[f'{name}_depth']:,}" for name in ("greedy", "psrr"))
        milliseconds = (f"{row[f'{name}_ms']:.3g} ms" for name in ("greedy", "psrr"))
        lines.append(table_row((f"{row['boxes']:,}", str(row["kept"]), row["architecture"], *counts, *milliseconds)))
    hidden, machine = result["encrypted"], result["machine"]
    scenes = hidden["scenes"]
    same = [row for row in scenes if row["same_classes"]]
    lines += [
        "",
        f"Encrypted, the detector (ring {hidden['poly_modulus_degree']:,}, {hidden['rotations']} rotations, keys of "
        f"{hidden['key_bytes'] / 1e6:.0f} MB, {hidden['security_bits']}-bit security) takes "
        f"{min(row['server_ms'] for row in scenes):,.0f} ms of processor time per scene (least of {len(scenes)}; "
        f"{hidden['predicted_server_ms']:,.0f} ms predicted), with {scenes[0]['upload_bytes'] / 1e3:,.0f} kB up and "
        f"{scenes[0]['download_bytes'] / 1e3:,.0f} kB down. {len(same)} of {len(scenes)} scenes have the same boxes as "
        f"in clear; box sides differ by at most {max(row['largest_move'] for row in same):.2f} pixels, outputs by "
        f"{max(row['error'] for row in scenes):.4f} ({hidden['predicted_logit_error']:.4f} predicted at most). The "
        "client selects boxes after decryption.",
    ]
    note = (
        f"{result['scenes']:,} held-out scenes with {result['digits_per_scene']:.2f} digits and "
        f"{result['candidates_per_scene']:.1f} candidate boxes each; parameters chosen on {result['tuning_scenes']} "
        f"other scenes. Times: processor time of one thread, the least of several calls, on a 640 x 640 picture with "
        f"eight boxes per object. {machine['cpu']}, {machine['date']}, load {machine['load_average']:.1f}; "
        f"`{result['command']}`."
    )
    return with_note(lines, note)
