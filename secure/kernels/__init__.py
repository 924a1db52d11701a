"""What a plan costs in kernels: counts, by the engine, by SEAL. The one thing hwmodel/ takes beside plan and params.

counts.py   what one operation costs in transforms, products and bytes
engine.py   what the engine runs for a whole plan
seal.py     what SEAL runs for it, as a core pays for it
"""
