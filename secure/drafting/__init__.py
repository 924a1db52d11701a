"""The Draft that the passes fill in, the layouts to choose from, and what a draft will cost.

draft.py        what the passes fill in, step by step
splits.py       rotations divided into baby steps and giant steps
routes.py       baby steps and giant steps made from one another, with few keys
placed.py       one layout of a stage
factors.py      layouts of the two factors of a product
layouts.py      layouts of the input and of every stage
doubling.py     layouts in which products do the work of two diagonals
tokens.py       an input ordered by tokens, and sums over tokens before products
stage_cost.py   what a stage costs, from its diagonals and rotations
work.py         operations, keys and time of a whole draft, before its primes are chosen
"""
