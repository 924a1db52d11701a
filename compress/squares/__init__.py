"""From a frozen network of quadratics to one of plain squares whose weights are whole multiples of a power of two.

rewriting.py  quadratics as plain squares, their factors in the linear maps around them
module.py     a frozen network as a torch module
rounding.py   weights rounded forward, and trained as if they were not
training.py   further training with rounded weights
"""
