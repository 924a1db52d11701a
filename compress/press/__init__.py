"""All methods one after the other by one Setting, and the search over Settings.

setting.py       everything that is done to a model, as one checked value
pressing.py      pruning, OPQ, fine-tuning and conversion, by one setting
sketch.py        what a compressed network looks like to a compiler, without training
target.py        what a search has to reach, what it tried and what it found
search.py        the search for a compressed network that meets a target
candidates.py    makes the networks that a search asks for, and prices them with a compiler
search_file.py   a search on disk, and as a picture (optional matplotlib)
"""
