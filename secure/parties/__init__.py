"""Client, server, their keys, messages and backends.

container.py          the one container for key files and messages
keys.py               the secret key and the evaluation key: two types, two files
client.py             Client: encrypts and decrypts
encryptor.py          the client's own encryptor, several times faster than SEAL's
server.py             Server: runs the plan, holds no secret
registrations.py      the keys that a server holds: bounded, by key id
memory.py             what a server takes in memory, and what a limit leaves for its constants
requests.py           a request's ciphertexts, and a client's keys, as values of a backend; what it answers
packed.py             ciphertexts as strings of bits, as the engine reads and writes them
native_form.py        the same as SEAL's objects
backends.py           what computes a plan: the engine, SEAL, or the plan in clear
batches.py            the rows of a batch of inputs
ranges.py             an input against the range that the bundle accepts
release.py            decrypted answers made safe to show to others: scores with noise, or the class alone
flooding.py           how much noise that takes, and what it protects
discrete_gaussian.py  the noise itself, exact
inputs.py             inputs from .npy and image files
batch_inputs.py       batches of inputs from .npy files, read where they are needed
"""
