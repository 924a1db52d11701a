"""The methods in a row by one Setting, and the search over Settings.

setting.py       everything that is done to a model, as one checked value
pressing.py      the methods in a row, by one setting
sketch.py        what a compressed network looks like to a compiler, without training
target.py        what a search has to reach, what it tried, what came of it
search.py        the search for a compressed network that meets a target
candidates.py    the networks a search asks for, and what a compiler says they cost
search_file.py   a search on disk, and as a picture (optional matplotlib)
"""
