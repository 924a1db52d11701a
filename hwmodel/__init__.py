"""What a network costs, in clear and encrypted. A Network or a Plan is counted and priced; nothing is run. No torch.

band.py               a value with its low and high; the only arithmetic that prices use
architecture.py       the families of machines and their coefficients (value, unit, band, source, kind)
architecture_file.py  architecture files: read and checked, errors name the field
yaml_file.py          the one reader of YAML from outside: bounded, without aliases and tags
architectures/        one YAML file per machine
scaling.py            published laws of energy over bit width and technology node (pure)
node.py               a machine as if it were built at another node (pure)
counts.py             work of a Network in clear, by layer
shapes.py             the same for networks that are known by their shapes only
encrypted_counts.py   work of a Plan, by layer, operation and level
batch_counts.py       work of a plan for throughput, by layer
hybrid.py             kernels of operations under hybrid key switching, which published systems use (pure)
schemes.py            how published systems run CKKS: rings, levels, stages
reference.py          bootstraps, as encrypted workloads of published results
resnet.py             the encrypted ResNet-20 whose times are published
selection.py          work of choosing boxes behind a detector, and its latency on an array (pure)
mapping.py            how a layer in clear is laid over an array, and what DRAM moves (pure)
residency.py          what a CKKS accelerator keeps on the chip, and what its memory bus moves (pure)
cost.py               what one layer costs, with its parts
plain.py              prices of a network in clear
ckks.py               prices of a plan
batch_prices.py       prices of a plan for throughput
report.py             estimate, compare: the reports people read
variants.py           versions of a network beside each other: savings, privacy overhead, Pareto front, waterfall
roofline.py           a machine's roof and where the layers lie under it
charts.py             what charts show, as plain values
plots.py              comparisons as pictures (optional matplotlib)
svg.py                small charts as text, for pages
page.py               one self-contained page about a bundle
"""
