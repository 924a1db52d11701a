"""How values lie in slots, and linear maps between such layouts. Pure.

packing.py            slot maps: which feature every slot carries
diagonals.py          a linear map between slot maps as diagonals
sparse_diagonals.py   diagonals of which only the entries that are not zero are kept
blocks.py             values that keep positions, as blocks of slots
block_tables.py       convolutions between values in blocks
taps.py               a convolution over the input, tap by tap
multiplexed.py        values whose channels fill the gaps that strides leave
window_tables.py      convolutions between multiplexed values, written out from their windows
doubled.py            values carried twice by one ciphertext, as real and as imaginary part
factors.py            the two factors of a product, side by side or each in ciphertexts of its own
folds.py              rotations that add up partial sums, in pairs
"""
