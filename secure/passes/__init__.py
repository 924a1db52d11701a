"""The passes of the compiler, in their order; each is a function Draft -> Draft in a file of its own."""

from secure.passes.arrange import arrange
from secure.passes.choose_parameters import choose_parameters
from secure.passes.choose_rotations import choose_rotations
from secure.passes.emit import emit
from secure.passes.place_rescales import place_rescales

__all__ = ["PASSES"]

PASSES = (arrange, choose_rotations, place_rescales, choose_parameters, emit)
