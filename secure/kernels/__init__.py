"""What a plan costs in kernels, under the engine and under SEAL. hwmodel/ imports this, plan.py and params.py.

counts.py   what one operation costs in transforms, products and bytes
engine.py   what the engine runs for a whole plan
seal.py     what SEAL runs for a whole plan, as one core pays for it
"""
