"""The search for a small network: as accurate as possible at a wanted rate, or as small as a loss allows.

recipe.py     every part of the recipe as one checked value, and its defaults by rate
target.py     what is asked for, what was trained and what was found
search.py     the search over rates
stages.py     the trainings that the search asks for
finish.py     dead units cleared, biases and activations on grids
searching.py  compress_for: the search on a model and its data
"""
