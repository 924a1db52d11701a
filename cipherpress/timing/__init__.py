"""How long the kernels of this machine take: measured, fitted and kept per user. No torch.

sampling.py            samples of calls in CPU time, against a reference call
engine_operations.py   operations of the engine, ready to be timed
seal_operations.py     operations of SEAL, ready to be timed
request_operations.py  steps of a request, ready to be timed
whole_plans.py         whole plans, ready to be timed
residue_plans.py       throughput plans of single layers, ready to be timed
measuring.py           kernel times of both runtimes, fitted to a few seconds of samples
residue_kernels.py     kernel times of throughput plans, the same way
machine.py             what a measurement depends on: processor, versions, sources
fitting.py             kernel times from measured operations (pure)
energy.py              energy of the processor by the platform's counter, where there is one
cache.py               measured times on disk, and which times a compilation uses
"""
