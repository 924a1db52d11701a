"""An evaluator of our own for plans in SEAL's format: the same ciphertexts and keys, its own arithmetic. See docs/engine.md."""
