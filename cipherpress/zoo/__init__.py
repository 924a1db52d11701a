"""Data sets and reference networks for demos, tests and benchmarks.

datasets.py      load_data: MNIST (shipped), Fashion-MNIST, digits, IDX folders, .npz
presets.py       press_setting: how press treats each of them
networks.py      the reference networks and how each is trained
natives.py       load_network: networks made for one ciphertext, which ship converted
residual.py      ResNet-20 and a residual network of seven activations
transformers.py  vision transformers: a compact one, and DeiT's shapes without weights
training.py      train: the recipe behind `cipherpress train` and the committed weights
loading.py       load_model: a zoo name or file.py:factory, with weights
own_weights.py   does a factory give weights of its own, or random ones
weights/         trained weights (safetensors) and weights.json, which says how they were made
native/          their folders
data/mnist/      the MNIST images (60,000 and 10,000)
"""
