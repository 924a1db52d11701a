"""Limits: what a plan may cost, and how far encryption may change the network's answers. Imports no numpy."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from compress.errors import ConfigError

#: The default of Limits.max_disagreement: six classes in 1,000. The fastest plans of the reference networks change 0.2
#: to 0.51 % of classes, on images whose class the network is unsure of, so accuracy changes by less.
ACCEPTABLE_DISAGREEMENT = 6e-3


#: What a bundle is compiled for: one input soon, or many inputs at once.
MODES = ("latency", "throughput")
#: Which backends must be able to run a plan: the one that is fastest for it, or the engine and SEAL both.
BACKENDS = ("fastest", "both")
#: Who adds up the last partial sums of an answer: the server, or the client after decryption.
FOLDS = ("server", "client")
#: What a search may make least.
OBJECTIVES = ("server", "round-trip")
#: The link that a round trip is priced with unless another is named: an ordinary wired or mobile connection.
DEFAULT_LINK_MBIT_S = 100.0
#: What compiling may take unless another limit is named: the memory of an ordinary machine, and an hour.
DEFAULT_COMPILE_BYTES = 8e9
DEFAULT_COMPILE_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What `compile_network` must keep to.

    max_error: the largest predicted error of any output, in the outputs' units, at six standard deviations. None: for a
    network with several outputs, max_disagreement counts instead; for one with a single output, a fixed share of the
    output's root mean square.
    max_disagreement: the largest expected share of inputs whose class encryption changes. It counts when max_error is
    None and the network has several outputs.
    keys_bytes: the most bytes of all evaluation keys together. upload_bytes: the most bytes of one request.
    memory_bytes: the most bytes of a server's process with one client's keys and one request at a time, where it keeps
    its constants as small as it can (`secure.parties.memory`). A server is given its own limit. For latency only.
    objective: what the chosen plan has least of. "server": time of the plan. "round-trip": time from an input to its
    answer, with encryption, both messages on the link, loading and decryption. None: "server"; in a search for a target
    time (`press_for`) "round-trip". link_mbit_s: the speed of the link in Mbit/s, both ways.
    backends: which backends must be able to run the plan. "fastest": the engine, or SEAL alone where the network needs
    larger primes than the engine takes. "both": a server may choose either of them; errors are predicted as under SEAL,
    whose key switches are less precise.
    fold: who adds up the last partial sums. "server": only outputs leave it. "client": the plan ends before the folds
    of the last layer, which saves its rotations; the client adds up slots, and learns what every unit of the layer
    before contributes to every output (docs/security.md). For latency only.
    accept_loose_bound: whether a network is compiled although its bound of errors lies so far beyond the errors of all
    rows that it says little (`secure.compiling.judging`).
    compile_bytes, compile_seconds: the most memory and time that compiling may be estimated to take
    (`secure.compiling.estimate`). They bound the work of the compiler, not of the plan.
    Raises: ConfigError.
    """

    max_error: float | None = None
    max_disagreement: float = ACCEPTABLE_DISAGREEMENT
    keys_bytes: float = inf
    upload_bytes: float = inf
    memory_bytes: float = inf
    objective: str | None = None
    link_mbit_s: float = DEFAULT_LINK_MBIT_S
    backends: str = BACKENDS[0]
    fold: str = FOLDS[0]
    accept_loose_bound: bool = False
    compile_bytes: float = DEFAULT_COMPILE_BYTES
    compile_seconds: float = DEFAULT_COMPILE_SECONDS

    def __post_init__(self) -> None:
        if self.max_error is not None and not self.max_error > 0:
            raise ConfigError(
                "max_error", self.max_error, "above 0, or None to limit only the share of changed classes"
            )
        if not 0 < self.max_disagreement <= 1:
            raise ConfigError("max_disagreement", self.max_disagreement, "above 0, at most 1")
        if self.objective not in (None, *OBJECTIVES):
            raise ConfigError("objective", self.objective, f"None, {', '.join(OBJECTIVES)}")
        if self.backends not in BACKENDS:
            raise ConfigError("backends", self.backends, ", ".join(BACKENDS))
        if self.fold not in FOLDS:
            raise ConfigError("fold", self.fold, ", ".join(FOLDS))
        if not 0 < self.link_mbit_s < inf:
            raise ConfigError("link_mbit_s", self.link_mbit_s, "a number above 0, in Mbit/s")
        for field in ("keys_bytes", "upload_bytes", "memory_bytes", "compile_bytes", "compile_seconds"):
            if not getattr(self, field) > 0:
                raise ConfigError(field, getattr(self, field), "above 0; infinity sets no limit")
