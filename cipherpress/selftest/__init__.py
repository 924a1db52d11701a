"""selftest: random networks of many families, trained, pressed and run encrypted, and every promise held against them.

data.py       seeded data sets for the families
networks.py   random torch modules, one function per family
families.py   the families: which network goes with which data
case.py       one network from training to encrypted answers, and what was measured
batched.py    the same network in throughput mode, all its test rows as one batch
judging.py    what counts as wrong, and the table by family
processes.py  each case in a process of its own, so that its memory can be measured
"""
