"""A network as exact integers: what a throughput plan computes on every image, modulo the primes of its ring.

forms.py        Program: a network as steps over real numbers whose matrices are already whole
whole.py        whole numbers for real ones: the smallest multiple that is close enough
polynomials.py  a polynomial as quadratics and products
lowering.py     from a Network to a Program, node by node
affines.py      pass: scales and shifts of single features merge into their neighbours
constants.py    pass: features that are the same for every input
merging.py      pass: two matrices in a row become one
unread.py       pass: features that no output depends on vanish
passes.py       the list of passes, each with its check
homogeneous.py  a program without constants, for random phases in the slots
scaling.py      from a Program to steps over integers, at one input scale
derivatives.py  how far small errors of the inputs reach
plan.py         BatchPlan: the steps, their integer constants and their scales
dry.py          the dry run: every step of a plan is checked against the values that it reads
clear.py        the clear run: what a plan's integers stand for, in float64
"""
