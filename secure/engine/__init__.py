"""An evaluator of our own for plans in SEAL's format: the same ciphertexts and keys, its own arithmetic. See docs/engine.md.

schedule.py      how a plan runs: as sums of values that stay to be divided
compiled.py      how kernels are compiled and kept
modular.py       modular arithmetic in float64, as compiled kernels
vectors.py       eight numbers as one value in kernels
tables.py        roots of unity and orders
transform.py     the number-theoretic transform and its inverse
base_change.py   digits and divisions, which need transforms
arithmetic.py    ciphertexts as arrays: sums, products, key switches
residues.py      SEAL's saved ciphertexts as residues, and back
ring.py          tables and keys as residues, kept
constants.py     a plan's plaintexts, encoded as its sums want them
buffers.py       arrays that are used again
atomics.py       words of memory that all threads write, cores
team.py          threads that share the pieces of a kernel
program.py       a schedule as instructions on numbered arrays
addresses.py     arrays by address, for kernels
execute.py       a program's instructions, as one compiled kernel
running.py       a program under a client's keys, and its passes
evaluator.py     a plan made ready for the engine
"""
