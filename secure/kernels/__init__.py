"""What a plan costs in kernels, under the engine and under SEAL. hwmodel/ imports this room, plan.py and params.py.

counts.py    what one operation costs in transforms, products and bytes, and what kernels cost in time
engine.py    what a whole plan costs under the engine
seal.py      what a whole plan costs under SEAL, on one core
requests.py  what a request costs beside the plan: encryption, messages, loading, decryption
"""
