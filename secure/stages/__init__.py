"""The Network rewritten so that squaring is its only non-linear step.

stages.py     a Network as stages whose only non-linear step is squaring
matrices.py   linear nodes as sparse matrices
trim.py       removes units of a pruned network that no longer matter
"""
