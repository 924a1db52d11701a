"""From a Network to a BatchBundle: the choice of input scale, ring and primes for many images at once.

size.py        what compiling will take, before it is done
noise.py       how much encryption disturbs one feature of one image
evidence.py    what a network does on rows of inputs, and how far errors of the inputs reach
hardest.py     inputs beyond few rows: the hardest of many that are drawn like them
mixture.py     the bound of errors that are drawn anew, over inputs in which they reach differently far
promise.py     what a plan promises about its errors and about changed classes
trial.py       whether noise is so small that derivatives tell its effect, by simulation
magnitudes.py  how many bits the modulus needs
judged.py      programs with the evidence for them
phased.py      the same network with a random phase in every slot
choosing.py    input scale, ring and primes at one precision of rounding
search.py      the precision of rounding, bits that are not sent, and the choice among plans
reporting.py   the report as plain JSON values
compile.py     compile_throughput: from a Network to a BatchBundle
"""
