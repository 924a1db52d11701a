"""The Network rewritten so that squares and products of two values are its only non-linear steps.

stages.py           a Network as stages: affine maps, each followed by a square or a product except the last
stage.py            one stage
pairs.py            squares, products of two halves and kept values, and their derivatives
quartic_squares.py  cubics and quartics from two squarings
grids.py            where the positions of a value lie on the input's raster
matrices.py         linear nodes as sparse matrices
windows.py          sparse matrices that are convolutions, by their windows
token_order.py      tokens of a network's values, and the order of rows that they give
tokens.py           the stages of a network of tokens, with values kept between them
trim.py             removes units that no stage reads or that depend on no input
"""
