"""OPQ and what stands around it: allocations, shots, rates, the baseline, the clean-up afterwards.

options.py       the options of opq and their checks
opq.py           one-shot pruning and quantization in closed form
allocation.py    pruning rates and bits over layers
laplace.py       closed forms for Laplace-distributed weights
masks.py         pruning masks with exact counts
curvature.py     how much the answers depend on each weight
baseline.py      the baseline: uniform magnitude pruning and quantization
shots.py         OPQ in several shots, fine-tuned in between
target_rate.py   a method to a wanted compression rate
dead_units.py    units that pruning has cut off, cleared
"""
