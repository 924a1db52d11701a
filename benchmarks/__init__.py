"""The measurements behind every figure in README and docs. Each writes a JSON file and the Markdown table made from it.

This folder is not installed: `cipherpress bench` and `python -m benchmarks.NAME` run it from a checkout.

peers.py               this project against TenSEAL's own public API, in turn, one thread each
tenseal_tutorial.py    the convolutional network of TenSEAL's tutorial, by TenSEAL
tenseal_mlp.py         the fastest way that TenSEAL offers to run the 784-64-10 network
ours.py                this project's client and server on a bundle
in_turn.py             competitors in processes of their own, every image by each of them in turn
compression.py         compression rates and accuracy of OPQ, and of uniform magnitude pruning
compression_rates.py   networks that a search finds for a rate within a loss
compression_times.py   seconds that compression takes
blocks.py              block pruning: allocations, power terms, families and the largest removal
savings.py             what each method saves under encryption
objective.py           OPQ's objective "encrypted" beside "storage"
fixed_plans.py         the plan that the search chooses beside ten fixed ones
compiling.py           time and peak memory of compiling, network by network
compile_networks.py    the networks of that table, with random weights
promises.py            error bounds against fresh inputs
promise_networks.py    the networks and inputs of that table
depth.py               deep networks: accuracy, levels, keys and time against the number of squarings
depth_steps.py         its steps: compiler, client and server, each a process of its own
depth_plot.py          its picture in docs/
selftest.py            random networks of every family against all promises
requests.py            what a request costs beside the plan, through SEAL and without it
threads.py             one request on one thread and on two
hybrid.py              key switches with one special prime and with several, and their keys
products.py            products of two values as products of ciphertexts and as two squares
key_trade.py           bytes of keys beside time, for rotations made from one another
throughput.py          what each method buys in batches
throughput_networks.py the networks of that table, trained and kept
throughput_table.py    its tables
native.py              networks made for one ciphertext, in both modes
service.py             what HTTP adds to a request, and a server under load
service_load.py        that load, beside the bare rate of the same plans
service_table.py       its tables
served_models.py       a server in a process of its own, and requests with the replies to them
replaying.py           a client that sends recorded requests and compares every reply
process_use.py         memory and CPU time of processes
ray_nodes.py           the rate of a Ray cluster of two nodes beside that of one
browser.py             the page's client beside SEAL in WebAssembly, in a browser
browser_clients.js     what both do there
page.py                the page from opening to its answers, in a browser
detection.py           which boxes of a detector stay: three selections, and the detector under encryption
faces.py               those selections on BlazeFace's boxes in photographs
detections.py          what the digit detector finds in scenes, and its precision
train_detector.py      trains the digit detector; its weights are shipped
compress_detector.py   compresses it; those weights are shipped too
keep_bits.py           the selection of boxes on ciphertexts
joint.py               joint quantization of every zoo network, and integers against simulation
fhe_suite/             the entry for the official benchmark of inference on MNIST, and its driver
train_tutorial.py      trains the tutorial's network; its weights are committed
own_process.py         a measurement in a process of its own
machine.py             the machine that a result was measured on
noise.py               the noise model against both backends, operation by operation
noise_runs.py          errors of every operation under one key
report.py              a result as JSON and Markdown
table.py               the tables of peers.py
calibrate_cpu_engine.py  kernel times of the engine on this machine, for the cpu-engine architecture
calibrate_cpu_seal.py  kernel times of SEAL on this machine, for the cpu-seal architecture
calibrating.py         what both calibrations share
plain_timing.py        times of plain layers
costmodel.py           the cost model against published and measured rows
costmodel_row.py       one such row, and the error of many
costmodel_plain.py     rows of machines that run networks in clear
costmodel_ckks.py      published rows of encrypted machines
costmodel_runs.py      rows of this project's own encrypted runs
costmodel_methods.py   what each method saves on every kind of machine
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
    "hybrid": "benchmarks.hybrid",
    "products": "benchmarks.products",
    "key-trade": "benchmarks.key_trade",
    "requests": "benchmarks.requests",
    "service": "benchmarks.service",
    "throughput": "benchmarks.throughput",
    "native": "benchmarks.native",
    "detection": "benchmarks.detection",
    "keep-bits": "benchmarks.keep_bits",
    "compiling": "benchmarks.compiling",
    "depth": "benchmarks.depth",
    "promises": "benchmarks.promises",
    "selftest": "benchmarks.selftest",
    "fhe-suite": "benchmarks.fhe_suite.suite",
}
