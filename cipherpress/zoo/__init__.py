"""Data sets and reference networks for demos, tests and benchmarks.

datasets.py           load_data: MNIST (shipped), Fashion-MNIST, CIFAR-10, digits, IDX folders, .npz
presets.py            press_setting: how press treats each of them
networks.py           the reference networks and how each is trained
natives.py            load_network: networks that ship converted, those made for one ciphertext
deep_networks.py      the deep ones among them
residual.py           ResNet-20 and a residual network of seven activations
transformers.py       vision transformers: a compact one, and DeiT's shapes without weights
training.py           train: the recipe behind `cipherpress train` and the committed weights
loading.py            load_model: a zoo name or file.py:factory, with weights
own_weights.py        does a factory give weights of its own, or random ones
scenes.py             make_scenes: pictures of several digits, for detection
detectors.py          load_detector: the digit detectors, which ship converted
detector.py           their torch module
detector_training.py  how it was trained
weights/              trained weights (safetensors) and weights.json, which says how they were made
native/, deep/        folders of natives.py and deep_networks.py
cutouts.py            colour scenes of a folder of cut-outs, which does not ship
faces.py              BlazeFace, a real anchor detector, which does not ship
digit-detector/, detector-compressed/  folders of detectors.py
data/mnist/           the MNIST images (60,000 and 10,000)
"""
