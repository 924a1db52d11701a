"""Client, server, their keys, messages and backends.

container.py    the one container for key files and messages
keys.py         the secret key and the evaluation key: two types, two files
client.py       Client: encrypts and decrypts
server.py       Server: runs the plan, holds no secret
backends.py     what computes on a server: the engine or SEAL
release.py      what may leave the client of decrypted values
inputs.py       inputs from .npy and image files
inspection.py   what a key or ciphertext file says about itself
"""
