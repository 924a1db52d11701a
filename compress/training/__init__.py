"""The one training loop, and what changes its loss or its data.

schedule.py   how long and how fast a module is trained, checked
loop.py       the one training loop
device.py     on a GPU where there is one
augment.py    small distortions of training images, handwriting or pictures
objective.py  targets, loss and score of every task
units.py      outputs in units of their spread while they are trained
distill.py    the loss that a converted network learns from its original
finetune.py   fine-tuning with masks and codebooks fixed
held_out.py   training images set aside for a search
"""
