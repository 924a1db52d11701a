"""Published validation rows of encrypted machines.

They are SEAL and OpenFHE on CPUs, Cheddar on GPUs, CKKS accelerators, and the counts of SimFHE.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from typing import cast

from benchmarks.costmodel_row import CALIBRATION, HELD_OUT, NOTE_ONLY, Row
from hwmodel.architecture import CkksAccelerator, Coefficient
from hwmodel.architecture_file import load_architecture
from hwmodel.hybrid import HybridRing, key_switch, rescale
from hwmodel.reference import bootstrap
from hwmodel.report import estimate
from hwmodel.resnet import resnet20
from hwmodel.schemes import SCHEMES
from secure.kernels.counts import KernelTimes
from secure.kernels.seal import seal_operation_kernels
from secure.plan import Kind

SEAL, OPENFHE, GPU = "SEAL on a CPU, operations", "OpenFHE on a CPU, operations", "CKKS on GPUs"
ASIC, POWER, SIMFHE = "CKKS accelerators", "CKKS accelerators, power", "SimFHE, counts"

#: (N, primes): median microseconds of plain product, relinearization, rotation, rescale: SEAL 4 through
#: TenSEAL 0.3.18, measured for this project.
SEAL_MEASURED = {
    (4096, 2): (37, 424, 422, 113),
    (8192, 3): (114, 1497, 1514, 383),
    (8192, 5): (188, 3097, 3108, 665),
    (16384, 8): (594, 15004, 15091, 2303),
    (32768, 15): (2276, 90583, 90010, 9952),
}
SEAL_CALIBRATION = (8192, 3)
SEAL_ADDITION_NS = 0.93
SEAL_KINDS = (Kind.MULTIPLY_PLAIN, Kind.RELINEARIZE, Kind.ROTATE, Kind.RESCALE)

#: (log2 N, depth): milliseconds of a product with relinearization and of a rotation (CryptOracle, Ryzen 9 7950X, one
#: thread).
OPENFHE_MEASURED = {
    (13, 10): (10.8, 10.2),
    (14, 10): (23.4, 22.0),
    (14, 18): (41.4, 39.2),
    (16, 16): (178, 163),
    (17, 20): (456, 415),
}
OPENFHE_CALIBRATION = (14, 10)
OPENFHE_BUTTERFLY_NS = 2.99

#: Bandwidth byte/s, L2 byte, integer lanes, clock Hz, bootstrap ms, ResNet-20 s, and how the times were read. Boards:
#: data sheets.
GPUS = {
    "V100": (0.9e12, 6e6, 80 * 64, 1.38e9, 73.8, None, "source read"),
    "A100-40 PCIe": (1.555e12, 40e6, 108 * 64, 1.41e9, 42.5, 1.36, "source read"),
    "A100-80 PCIe": (1.935e12, 40e6, 108 * 64, 1.41e9, 40.0, 1.32, "source read"),
    "H100 PCIe": (2.04e12, 50e6, 114 * 64, 1.755e9, 31.2, 1.05, "source read"),
    "RTX 4090": (1.008e12, 72e6, 128 * 64, 2.52e9, 31.6, None, "source read"),
    "RTX 5090": (1.79e12, 96e6, 170 * 128, 2.407e9, 22.1, 0.72, "secondary"),
}
A100_LANES = 108 * 64
HE2 = "arXiv 2605.31004, table IV (read)"
#: Machine and scheme: bootstrap ms, ResNet-20 ms, their energy in J (energy-delay product over delay) or None, source,
#: mark.
ASICS = {
    "craterlake": ("craterlake", 3.91, 249.45, None, "CraterLake paper, abstract and secondary sources", "secondary"),
    "craterlake, 128 bits": ("craterlake", 6.32, 321.0, (9.91 / 6.32, 28_700 / 321), HE2, "source read"),
    "ark": ("ark", 3.52, 125.0, (1.67 / 3.52, 2_030 / 125), HE2, "source read"),
    "sharp": ("sharp", 3.12, 99.0, (0.94 / 3.12, 648 / 99), HE2, "source read"),
}
OTHER_NETWORK = (
    "another implementation: its CPU time, 23 min where the same group's code has 17 s a bootstrap, is that of 80 "
    "bootstraps; the one modelled takes 26 to 35"
)
#: SimFHE's own sets (N = 2^17): primes, digits; limb transforms of a rotation and of a product with relinearization and
#: rescale.
SIMFHE_SETS = {"GPU set": (38, 3, 260, 336), "ALG set": (40, 2, 244, 324)}


def ckks_rows() -> Iterator[Row]:
    """Every published row of encrypted machines."""
    yield from _seal_rows()
    yield from _openfhe_rows()
    yield from _gpu_rows()
    yield from _asic_rows()
    yield from _simfhe_rows()


def seal_times() -> KernelTimes:
    """Kernel times from two operations at one parameter set (plain product, relinearization)."""
    degree, level = SEAL_CALIBRATION
    product_us, relinearize_us, _, _ = SEAL_MEASURED[SEAL_CALIBRATION]
    product_ns = product_us * 1e3 / seal_operation_kernels(Kind.MULTIPLY_PLAIN, level, degree).products
    counts = seal_operation_kernels(Kind.RELINEARIZE, level, degree)
    rest_ns = relinearize_us * 1e3 - counts.products * product_ns - counts.additions * SEAL_ADDITION_NS
    return KernelTimes(butterfly_ns=rest_ns / counts.butterflies, product_ns=product_ns, addition_ns=SEAL_ADDITION_NS)


def _seal_rows() -> Iterator[Row]:
    times = seal_times()
    for (degree, level), measured in SEAL_MEASURED.items():
        for kind, microseconds in zip(SEAL_KINDS, measured, strict=True):
            calibrates = (degree, level) == SEAL_CALIBRATION and kind in (Kind.MULTIPLY_PLAIN, Kind.RELINEARIZE)
            modelled = times.milliseconds(seal_operation_kernels(kind, level, degree)) * 1e3
            yield Row(
                family=SEAL, row=f"N={degree}, {level} primes", quantity=kind.value, unit="us", published=microseconds,
                modelled=modelled, use=CALIBRATION if calibrates else HELD_OUT, kind="measured",
                source="SEAL 4 through TenSEAL 0.3.18, one thread, medians measured for this project", mark="derived",
            )  # fmt: skip


def _openfhe_rows() -> Iterator[Row]:
    """Rows of OpenFHE. A product delays its rescale (FLEXIBLEAUTO) and is priced as its key switch, as its tensor step
    has no butterflies.
    """
    for (log2_degree, depth), (product_ms, rotate_ms) in OPENFHE_MEASURED.items():
        level = depth + 1
        digit = ceil(level / 2)
        ring = HybridRing(degree=1 << log2_degree, levels=level, special=ceil((48 * digit + 4) / 60), digit=digit)
        switch = key_switch(ring, level).butterflies
        for quantity, published in (("product", product_ms), ("rotate", rotate_ms)):
            calibrates = (log2_degree, depth) == OPENFHE_CALIBRATION and quantity == "rotate"
            yield Row(
                family=OPENFHE, row=f"N=2^{log2_degree}, depth {depth}", quantity=quantity, unit="ms",
                published=published, modelled=switch * OPENFHE_BUTTERFLY_NS * 1e-6,
                use=CALIBRATION if calibrates else HELD_OUT,
                source="CryptOracle data, Ryzen 9 7950X, one thread", mark="source read",
            )  # fmt: skip


def gpu(name: str) -> CkksAccelerator:
    """The A100 with the bandwidth, L2 cache, lanes and clock of another board."""
    bandwidth, l2_bytes, lanes, clock_hz, *_ = GPUS[name]
    machine = cast(CkksAccelerator, load_architecture("a100-ckks"))
    share = lanes / A100_LANES
    rates = ("transform_residues_per_cycle", "products_per_cycle", "additions_per_cycle")
    return replace(
        machine,
        memory_bytes_per_s=_exactly(machine.memory_bytes_per_s, bandwidth),
        on_chip_bytes=_exactly(machine.on_chip_bytes, l2_bytes),
        clock_hz=_exactly(machine.clock_hz, clock_hz),
        **{name: _exactly(getattr(machine, name), getattr(machine, name).value * share) for name in rates},
    )


def _exactly(coefficient: Coefficient, value: float) -> Coefficient:
    return replace(coefficient, value=value, low=value, high=value)


def _gpu_rows() -> Iterator[Row]:
    for name, (_, _, _, _, bootstrap_ms, resnet_s, mark) in GPUS.items():
        machine, scheme = gpu(name), SCHEMES["cheddar"]
        for quantity, published_ms, work in (
            ("bootstrap", bootstrap_ms, bootstrap(scheme)),
            ("ResNet-20", resnet_s and resnet_s * 1e3, resnet20(scheme)),
        ):
            if published_ms is not None:
                yield Row(
                    family=GPU, row=name, quantity=quantity, unit="ms", published=published_ms,
                    modelled=estimate(work, machine).latency_ms, use=HELD_OUT,
                    source="Cheddar README, arXiv 2407.13055; boards' lanes, clocks, bandwidths: data sheets, "
                    "partly recalled",
                    mark=mark,
                )  # fmt: skip


def _asic_rows() -> Iterator[Row]:
    for name, (machine_name, bootstrap_ms, resnet_ms, energies_j, source, mark) in ASICS.items():
        machine, scheme = load_architecture(machine_name), SCHEMES[name]
        refresh, network = estimate(bootstrap(scheme), machine), estimate(resnet20(scheme), machine)
        # CraterLake runs another ResNet-20 than the others: its row is shown, and left out of the mean
        other = machine_name == "craterlake"
        for quantity, published_ms, report in (("bootstrap", bootstrap_ms, refresh), ("ResNet-20", resnet_ms, network)):
            listed = other and report is network
            note = f"bracket {report.latency_low_ms:.3g} to {report.latency_high_ms:.3g} ms"
            yield Row(
                family=ASIC, row=name, quantity=quantity, unit="ms", published=published_ms,
                modelled=report.latency_ms, use=NOTE_ONLY if listed else HELD_OUT, source=source, mark=mark,
                note=f"{note}; {OTHER_NETWORK}" if listed else note,
            )  # fmt: skip
        if energies_j is not None:
            bootstrap_j, resnet_j = energies_j
            yield Row(
                family=POWER, row=name, quantity="power in a bootstrap", unit="W",
                published=bootstrap_j / bootstrap_ms * 1e3,
                modelled=refresh.energy_mj / refresh.latency_ms, use=HELD_OUT, source=source, mark="derived",
            )  # fmt: skip
            yield Row(
                family=POWER, row=name, quantity="energy of a ResNet-20", unit="mJ", published=resnet_j * 1e3,
                modelled=network.energy_mj, use=NOTE_ONLY if other else HELD_OUT, source=source, mark="derived",
                note=OTHER_NETWORK if other else "",
            )  # fmt: skip


def _simfhe_rows() -> Iterator[Row]:
    for name, (level, digits, rotate, product) in SIMFHE_SETS.items():
        digit = ceil(level / digits)
        ring = HybridRing(degree=1 << 17, levels=level, special=digit + 1, digit=digit)
        switch = key_switch(ring, level).transforms
        for quantity, published, modelled in (
            ("rotation", rotate, switch),
            ("product", product, switch + rescale(ring, level).transforms),
        ):
            yield Row(
                family=SIMFHE, row=name, quantity=f"limb transforms of a {quantity}", unit="1", published=published,
                modelled=modelled, use=HELD_OUT, source="SimFHE counters, run for this project", mark="derived",
            )  # fmt: skip
