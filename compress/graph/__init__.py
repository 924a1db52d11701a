"""A torch module read as a graph of known layers.

tracing.py       a module as a graph of operations (torch.fx)
importing.py     the graph as a list of checked layers
unsupported.py   what to use instead of a layer that has no form here
modules.py       the torch modules that conversion puts in
polynomial.py    least squares, substitution, completed square
"""
