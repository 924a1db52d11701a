"""What the stages run: a throughput bundle by numpy alone, since starting compiled kernels takes longer than the work.

Keys, requests and replies are those of `secure.streams`, byte for byte.

folders.py    the benchmark's folders and files, and the size that a stage is started with
pixels.py     test_pixels.txt as images
words.py      residues as bit strings
chacha.py     ChaCha20, many blocks at a time
sampling.py   uniform residues and errors from streams
modular.py    products modulo a prime
transform.py  the number-theoretic transform, in SEAL's order
secret.py     the secret key of a file
plan.py       the steps of a plan on the residues of a block
server.py     a request to a reply
client.py     images to a request, and a reply to logits
stages.py     the stages, by name
"""
