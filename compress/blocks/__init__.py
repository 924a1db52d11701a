"""Block pruning (LPViT): which whole blocks are pruned, and what that costs.

options.py          the options of prune_blocks and their checks
prune.py            block pruning after LPViT: score, share out, refit
places.py           where each prunable layer runs in the network
allocate.py         which blocks every layer keeps within a budget
patterns.py         families of blocks: tiles, bands, residue classes, inputs, outputs, taps
importance.py       what removing a block costs: second-order Taylor on calibration data
curves.py           how much pruning a layer distorts the answers: by Taylor, or measured on images
choices.py          nested masks of a layer, and the fill that uses up a budget to within one block
cost.py             cost models of the blocks that stay: the interface, plain-blocks, ckks-diagonals
dense_cost.py       what a dense layer costs on ciphertexts, as the compiler lays it out
baselines.py        uniform and global-magnitude allocation
objective.py        the objective: distortion and power under a budget of time, exact over layers
statistics.py       means and deviations of layers' outputs, held to those before
reconstruction.py   survivors refitted by least squares
prefix_cache.py     what runs before a layer, run once
"""
