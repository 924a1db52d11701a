"""Measurements behind every figure in README and docs; each writes a JSON file and the Markdown table made from it.

peers.py               this project against TenSEAL's own public API, in turn, one thread each
tenseal_tutorial.py    the convolutional network of TenSEAL's tutorial, by TenSEAL
tenseal_mlp.py         TenSEAL's best effort on the 784-64-10 network
ours.py                this project's server process on a bundle
compression.py         rates and accuracy of OPQ, and of uniform magnitude pruning
blocks.py              block pruning: allocations, power terms, families and the largest removal
savings.py             what each method saves under encryption
fixed_plans.py         the plan the search chooses beside ten fixed ones
threads.py             one request on one thread and on two
joint.py               joint quantization of every zoo network, and integers against simulation
train_tutorial.py      the weights of the tutorial's network
machine.py             what machine a result was measured on
noise.py               the noise model against both backends, operation by operation
noise_runs.py          errors of every operation under one key
table.py               JSON to Markdown
calibrate_cpu_engine.py  kernel times of the engine on this machine, for the cpu-engine architecture
calibrate_cpu_seal.py  kernel times of SEAL on this machine, for the cpu-seal architecture
plain_timing.py        times of plain layers
costmodel.py           the cost model against published and measured rows
costmodel_row.py       one of them, and the error of many
costmodel_plain.py     rows of machines in clear
costmodel_ckks.py      rows of encrypted machines that were published
costmodel_runs.py      rows of this project's own encrypted runs
costmodel_methods.py   what each method pays for, on every kind of machine
"""

#: What `cipherpress bench` runs: name and module; each module has run(output, *, images, progress).
BENCHMARKS = {
    "peers": "benchmarks.peers",
    "savings": "benchmarks.savings",
    "plans": "benchmarks.fixed_plans",
    "joint": "benchmarks.joint",
    "costmodel": "benchmarks.costmodel",
    "methods": "benchmarks.costmodel_methods",
    "noise": "benchmarks.noise",
    "threads": "benchmarks.threads",
}
