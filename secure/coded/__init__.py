"""A network as exact integers: what a throughput plan computes on every image, modulo the primes of its ring.

plan.py   BatchPlan: the steps, their integer constants and their scales
"""
