"""An entry for the official benchmark of inference on MNIST (fhe-benchmarking/ml-inference), and a driver of our own.

submission/  the entry: stages as Python files and as executables, the bundle, and what argues for its security
driver.py    runs the stages as the benchmark does: processes of their own, timed whole; folders measured
suite.py     the table: every size, several runs
"""
