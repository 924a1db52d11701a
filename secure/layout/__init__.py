"""Pure slot geometry: maps, diagonals, blocks, taps, folds.

packing.py        slot maps: which feature each slot carries
diagonals.py      a linear map between slot maps as diagonals
blocks.py         values that keep positions, as blocks of slots
block_tables.py   convolutions between values in blocks
taps.py           a convolution over the input, tap by tap
folds.py          how partial sums are added up, two folds at a time
"""
