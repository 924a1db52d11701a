"""The engine: our evaluator of plans. Ciphertexts and keys are SEAL's, the arithmetic is ours (docs/engine.md).

schedule.py      how a plan runs: as sums of values that are divided late
compiled.py      how kernels are compiled, and where the compiled code is kept
modular.py       modular arithmetic in float64, as compiled kernels
vectors.py       eight numbers as one value in kernels
tables.py        roots of unity, inverses, and the order of residues
transform.py     the number-theoretic transform and its inverse
bases.py         groups of primes, and conversions from them to other primes
base_change.py   digits and divisions, which need transforms
grouped.py       the same for digits of several primes and for several special primes
arithmetic.py    ciphertexts as arrays: sums, products
switched.py      key switches: digits times keys, rotated
compact.py       products with constants that are stored compactly
products.py      products of two ciphertexts
residues.py      from SEAL's saved ciphertexts to residues, and back
ring.py          the tables of a parameter set, and the keys of a client as residues
storages.py      how constants are stored: whole or compactly
constants.py     a plan's plaintexts, encoded in the forms that its sums need, in as much memory as there is
buffers.py       memory for arrays, and its reuse
atomics.py       atomic operations on words of memory, cores, calls by address
team.py          threads that share the pieces of a kernel
program.py       a schedule as instructions on numbered arrays
gathering.py     which instructions of a large program run together
placing.py       where the arrays of a large program lie in its workspace
addresses.py     kernels' views of arrays that are known by address
execute.py       runs the instructions of a program, as one compiled kernel
running.py       a program under one client's keys
evaluator.py     a plan prepared for the engine
"""
