"""Networks made for one ciphertext: a public cosine front end, linear layers, squares.

options.py      Native: how such a network is shaped and trained
bank.py         features of training images and of distorted copies, made once
layers.py       the torch module that is trained, and the same one without normalizations, its weights rounded
lessons.py      what it learns from: labels, or the answers of the given network, by held-out rows
training.py     native: from a given network and images to a frozen Network
exporting.py    the frozen Network: the front end as linear nodes, integer codes and power-of-two steps
"""
