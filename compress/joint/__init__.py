"""Joint power-of-two quantization (DJQ) and its integer run.

options.py       the options of joint_quantize and their checks
quantize.py      joint power-of-two quantization, module after module
search.py        the search over one module's grids
codes.py         a module's integers from its torch layers and its grids
executable.py    the quantized network, fake-quantized and in integers only
arithmetic.py    one operation of such a network, in float64 and in integers
unified.py       a network as modules with one quantization point each
regroup.py       the pass that makes them, and the count of points
importing.py     what has a form in integers: also attention and layer normalization
fixed_point.py   power-of-two grids, shifts, accumulators, rounded division, integer roots
code_table.py    an element-wise function as a table over codes
norm.py          layer normalization in integers
softmax.py       softmax in integers
"""
