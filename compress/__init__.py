"""From a torch model to a small, CKKS-friendly, frozen Network. Torch ends in this package.

The files are the hall: all that secure/, hwmodel/ and cipherpress.timing may know of compress. Rooms, from the ground
up:

errors.py            the error tree of the whole project
network.py           the frozen Network and its numpy run (everything after it is compared with it)
row_batches.py       many rows through a network, in batches side by side
convolutions.py      convolutions and windows in numpy
network_file.py      a Network on disk
node_shapes.py       do a node's fields fit each other: asked of every network from a file
checks.py            checks that options share: numbers, names, seeds
recorded.py          warnings that stand in a result and are logged once
robust.py            which training rows are outliers, and the range of inputs that the others support
tasks.py             the tasks that a network may have, and the names of scores
scores.py            how outputs are read, and their score
labels.py            labels of every kind, brought into the form that a network needs
parts.py             several inputs or outputs as one flat row, and back
dataset.py           data sets, and the type of progress callbacks
gathering.py         arrays, tuples, tensors and DataLoaders as data sets
front.py             a public transform that the client applies, and the network behind it
coefficients.py      arithmetic on the coefficients of polynomials
completed_square.py  quadratics with their square completed
pareto.py            undominated points
svg.py               figures as SVG files (optional matplotlib)
artifact.py          files and folders on disk: written whole or not at all, checked when read
json_file.py         the one reader of JSON from outside: bounded in size, nesting and numbers
npy_file.py          the one reader of .npy and .npz from outside: headers that tell the truth, no pickles
artifact_kinds.py    which folders are artifacts of cipherpress
model/               a compressed torch module, and that module on disk
graph/               a torch module read as a graph of known layers
training/            the training loop, and what changes its loss or its data
blocks/              block pruning (LPViT)
squares/             networks of plain squares and weights of few bits
conversion/          from layers to the frozen Network; torch ends here
joint/               joint power-of-two quantization (DJQ)
account/             what a compressed model weighs
opq/                 one-shot pruning and quantization
press/               the methods in a row, and the search over their settings
rate/                the search for a network of a wanted rate, or within a loss
native/              networks made for one ciphertext
"""
