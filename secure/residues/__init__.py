"""The server's arithmetic of a throughput plan: whole networks on residues, position after position, without a key.

constants.py   integers of a plan modulo a prime, and the columns whose products float64 adds up exactly
elementwise.py squares, products, sums and selections of ciphertext parts. Compiled by numba
runs.py        sparse matrices in the order in which the kernel reads them
sparse.py      products with sparse integer matrices. Compiled by numba
digits.py      residues as digits of 16 bits: which layers they are exact for, and packed codes
pairs.py       products of packed codes with digits. Compiled by numba
narrow.py      a plan without the inputs that it never reads
layout.py      where the values of a chunk lie in the workspace of a thread
times.py       how long a block takes, predicted
steps.py       the steps of a plan, prepared for one prime
evaluator.py   BatchEvaluator: runs a plan on the residues of a block, chunk of positions after chunk
"""
