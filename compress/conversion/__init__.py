"""From torch layers to the frozen Network. Nothing after exporting.py uses torch.

limits.py      what options may be
options.py     how a model is converted, checked
convert.py     a torch model in, a Network out
degrees.py     the largest degree of polynomials, chosen on rows set aside
recipes.py     how a network of polynomials learns from the given one
stable.py      training of deep networks, by normalizing every activation's input
collapse.py    what is refused: lost accuracy, values that explode
friendly.py    activations to polynomials, max pooling to average pooling
norms.py       constants in place of LayerNorm, GroupNorm and the like
scores.py      constants in place of the softmax of attention
combining.py   arithmetic on one value as one polynomial
exporting.py   layers to Network: torch tensors become numpy arrays here
calibrate.py   ranges on every edge of a Network
"""
