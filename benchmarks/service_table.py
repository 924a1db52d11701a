"""The tables of `benchmarks.service`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.report import table_head, table_row, with_note

#: What the contract allows over HTTP: this many times the work, and so much more.
FACTOR, MORE_MS = 1.3, 8.0
#: Where a bare plan takes so many times its CPU time, other programs had a part of the cores.
BUSY = 1.2
#: What the contract asks of a load: this share of the bare rate. Memory is judged where it was watched for so long.
LEAST_SHARE, LEAST_WATCH_S = 0.85, 120.0


def service_table(result: Mapping[str, Any]) -> str:
    """Markdown: one request, load, memory; with machine, date and command under it."""
    one, load, machine = result["request"], result["load"], result["machine"]
    lines = table_head(("step of one request", "median ms", "least ms"))
    for step in ("encrypt", "run", "decrypt", "hash_and_split", "plan", "http", "predict"):
        lines.append(f"| {step.replace('_', ' ')} | {one[f'{step}_ms']:.1f} | {one['least'][f'{step}_ms']:.1f} |")
    lines += ["", *_load_lines(load), "", *_memory_lines(load), "", *_asked_lines(load)]
    note = (
        f"One request of {one['network']}: {FACTOR} times the work and {MORE_MS:g} ms are {one['allowed_ms']:.1f} ms. "
        f"In CPU time, which other programs change little: the work {one['work_cpu_ms']:.1f} ms, over HTTP "
        f"{one['http_cpu_ms']:.1f} ms in all processes together. {_load_note(load)} "
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_average']:.1f} at the end, "
        f"{machine['date']}, `{result['command']}`."
    )
    return with_note(lines, note)


def _quiet(load: Mapping[str, Any]) -> bool:
    """Whether the bare processes had the cores to themselves, so that rates can be compared."""
    return all(row["bare_ms"] < BUSY * row["bare_cpu_ms"] for row in load["networks"])


def _load_lines(load: Mapping[str, Any]) -> list[str]:
    """A row per model, the row of all together, and the rates of each model by itself."""
    lines = table_head(
        ("model", "images", "upload KB", "requests", "bare plan ms", "of CPU time ms", "p50 ms", "p99 ms")
    )
    for row in load["networks"]:
        lines.append(
            table_row(
                (row["network"], f"{row['images']:,}", f"{row['upload_bytes'] / 1e3:,.0f}", f"{row['requests']:,}",
                 f"{row['bare_ms']:.2f}", f"{row['bare_cpu_ms']:.2f}", f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}")
            )
        )  # fmt: skip
    lines += ["", *table_head(
        ("load", "seconds", "requests", "wrong or failed", "requests/s", "of the bare rate",
         "of what clients leave of it", "plans, of server's CPU time", "HTTP process, CPU ms", "client, CPU ms",
         "p50 ms", "p99 ms")
    )]  # fmt: skip
    shares = ("share_of_bare_rate", "share_without_clients")
    for name, row in (("all in turn", load), *((row["network"] + " alone", row) for row in load["alone"])):
        lines.append(
            table_row(
                (name, f"{row['seconds']:,.0f}", f"{row['requests']:,}", str(row["wrong_or_failed"]),
                 f"{row['requests_per_s']:.1f}", *(f"{row[one]:.0%}" if _quiet(load) else "" for one in shares),
                 f"{row['share_of_cpu_time']:.0%}", f"{row['http_cpu_ms']:.2f}",
                 f"{row['clients_cpu_ms']:.2f}", f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}")
            )
        )  # fmt: skip
    return lines


def _memory_lines(load: Mapping[str, Any]) -> list[str]:
    lines = table_head(
        ("process", "after warm-up, MB", "at the end, MB", "at most, MB", "slope, MB per minute",
         "growth after warm-up, MB", "of huge pages, MB", "shared in parts, MB")
    )  # fmt: skip
    lines += [
        f"| {row['process']} | {row['warm_bytes'] / 1e6:,.1f} | {row['end_bytes'] / 1e6:,.1f} | "
        f"{row['most_bytes'] / 1e6:,.1f} | {row['slope_bytes_per_min'] / 1e6:+.3f} | "
        f"{row['growth_bytes'] / 1e6:+.1f} | {row['huge_growth_bytes'] / 1e6:+.1f} | {row['pss_bytes'] / 1e6:,.0f} |"
        for row in load["memory"]
    ]
    return lines


def asked(load: Mapping[str, Any]) -> list[tuple[str, str, bool | None]]:
    """(what is asked of a load, what was measured, whether it holds; None where this run cannot tell)."""
    wrong, quiet = load["wrong_or_failed"], _quiet(load)
    shares = (
        ("of the bare rate, though the clients run on the same cores", load["share_of_bare_rate"]),
        ("of the bare rate in the CPU time that the clients leave", load["share_without_clients"]),
    )
    unknown = f"other programs had a part of the cores; plans took {load['share_of_cpu_time']:.0%} of its CPU time"
    most = max(load["memory"], key=lambda row: float(row["growth_bytes"]))
    flat = all(row["flat"] for row in load["memory"]) and not load["replaced_workers"]
    full = load["full_queue"]
    refused = f"{full['right']} right, {full['refused_with_retry_after']} refused, {len(full['other'])} otherwise"
    return [
        ("every request answered right", f"{wrong} of {load['requests']:,} wrong or failed", wrong == 0),
        *(
            (f"{LEAST_SHARE:.0%} {what}", f"{share:.1%}" if quiet else unknown, share >= LEAST_SHARE if quiet else None)
            for what, share in shares
        ),
        (
            "memory of every process flat after warm-up",
            f"at most {most['growth_bytes'] / 1e6:+.1f} MB ({most['process']})",
            flat if load["seconds"] >= LEAST_WATCH_S else None,
        ),
        ("a full queue loses nothing", refused, not full["other"] if full["refused_with_retry_after"] else None),
    ]


def _asked_lines(load: Mapping[str, Any]) -> list[str]:
    lines, words = table_head(("asked", "measured", "holds")), {True: "yes", False: "no", None: ""}
    return lines + [table_row((what, measured, words[holds])) for what, measured, holds in asked(load)]


def _load_note(load: Mapping[str, Any]) -> str:
    full = load["full_queue"]
    other = f"{len(full['other'])} otherwise" if full["other"] else "none otherwise"
    busy = "" if _quiet(load) else "Other programs had a part of the cores, so shares of the bare rate are left out. "
    return (
        f"Load: {load['clients']} clients that replay requests encrypted beforehand and compare every reply bit for "
        f"bit, {load['workers']} workers, {load['cores']} cores. Bare rate: of as many processes that run the same "
        "requests without HTTP and without clients on the machine, before and after. During the load the clients run "
        "on the same cores: the first share counts their CPU time as if the server had spent it, the second is of the "
        "CPU time that they leave. "
        f"{busy}{load['replaced_workers']} workers were replaced. A full queue: {full['sent']} requests at once, "
        f"{full['right']} answered right within {full['slowest_answer_ms']:.0f} ms, "
        f"{full['refused_with_retry_after']} refused with Retry-After within {full['slowest_refusal_ms']:.0f} ms, "
        f"{other}. Huge pages: the kernel may add up to {load['filled_pages']} untouched pages of 512 to make one "
        "(khugepaged/max_ptes_none), which adds to a process's memory once."
    )
