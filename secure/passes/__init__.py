"""The passes of the compiler, in their order; each is a function Draft -> Draft in a file of its own.

arrange.py             1: slot maps and diagonals
choose_rotations.py    2: baby steps and giant steps
place_rescales.py      3: levels
choose_parameters.py   4: scales and primes
emit.py                5: the Plan
chains.py              from wanted precisions to scales and primes
checkers.py            one checker a pass
"""

from secure.passes.arrange import arrange
from secure.passes.choose_parameters import choose_parameters
from secure.passes.choose_rotations import choose_rotations
from secure.passes.emit import emit
from secure.passes.place_rescales import place_rescales

__all__ = ["PASSES"]

PASSES = (arrange, choose_rotations, place_rescales, choose_parameters, emit)
