"""A torch module read as a graph of known layers.

tracing.py       a module as a graph of operations (torch.fx)
shaped.py        values during tracing that know their shapes
spellings.py     the modules, functions and methods that mean the same, one set per meaning
layers.py        Layer and Imported: a model as a list of operations of a few kinds
building.py      one pass over a graph by a table from spelling to rule
rules.py         what each spelling turns into: activations, arithmetic, shapes
normalizing.py   the same for normalizations
attention.py     the same for softmax inside the network
moves.py         the same for slices, padding, concatenation and all that only moves elements
resampling.py    the same for pools, interpolation, sums and means
weighted.py      the same for linear layers, convolutions and products with constant matrices
joined.py        a module of several inputs or outputs as one of flat rows
importing.py     the table, and import_model: the graph as a list of checked layers
supported.py     the list of supported layers as Markdown, from that table
unsupported.py   what to use instead of a layer that has no form here
contractions.py  the same for products of two values with sums: matmul and einsum
in_parts.py      functions that are written out as operations with a form of their own
transformers.py  the same for torch's own attention and encoder layers
elementwise.py   functions of one value in several operations, as one activation
dead_branches.py branches without weights, as constants
last_sigmoid.py  a sigmoid at the end of a classifier, left out
composite.py     the modules of those functions, and of replaced normalizations and softmax
modules.py       the torch modules that conversion puts in
last_axis.py     an activation whose channels are the last axis
polynomial.py    least squares and substitution
"""
