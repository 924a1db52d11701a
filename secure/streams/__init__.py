"""The parties of throughput bundles: blocks of images as compact frames, and back.

compiled.py    how the kernels of this room are compiled
frames.py      the frames of a batch: one container per block
images.py      images on their way into blocks, checked
keys.py        the secret key, and its residues
phases.py      a random phase for every slot, where a plan takes them
encoder.py     coefficients of real slots, eight features at a time
sealing.py     the first parts of a block: the client's kernels
opening.py     packed parts as residues: the kernels of server and decryption
encryption.py  encrypts blocks of images
unwrapping.py  coefficients of answers that left the modulus, put right
decryption.py  decrypts blocks of answers
client.py      BatchClient
server.py      BatchServer
inspection.py  what a key or ciphertext file says about itself
stopwatch.py   what each party takes
warming.py     the compiled kernels, loaded before anything is timed
"""
