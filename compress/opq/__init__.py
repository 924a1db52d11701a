"""One-shot pruning and quantization (OPQ), with several shots, a wanted rate, its baseline and the clean-up after it.

options.py       the options of opq, their defaults and their checks
opq.py           one-shot pruning and quantization in closed form
allocation.py    pruning rates and bits over layers
laplace.py       closed forms for Laplace-distributed weights
masks.py         pruning masks with exact counts
curvature.py     how much the answers depend on each weight
baseline.py      the baseline: uniform magnitude pruning and quantization
shots.py         OPQ in several shots, fine-tuned in between
target_rate.py   the smallest sparsity that reaches a wanted compression rate
dead_units.py    units that pruning has cut off, cleared
"""
