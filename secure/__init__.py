"""From a Network to encrypted inference. No torch here, so that a server starts without it.

Every folder is a room, which imports only what stands above it. The files beside the rooms are the hall: every room may
import them, and they import no room.

params.py            rings, moduli, the security tables
frozen.py            read-only arrays and mappings
limits.py            what a plan may cost and how far encryption may change the answer
plan.py              the frozen Plan: a straight-line program over ciphertexts
growth.py            how the bound of an answer grows with the answer
key_shape.py         which digits and rows an evaluation key has, and its bytes
file_bytes.py        bytes of a file that are read when they are asked for
ciphertext_shape.py  how a ciphertext lies on the wire as bits
noise.py             how much error CKKS adds, per operation
encoding.py          the error of an encoded plaintext, computed exactly
stages/              the Network rewritten so that squaring is its only non-linear step
layout/              slot maps, diagonals, blocks, taps, folds
comparison/          signs of encrypted numbers as polynomials, and keep bits of a grid
evaluators/          one walk along a Plan, and who follows it in clear
seal/                SEAL's objects and its evaluator
engine/              our evaluator of plans
draws/               randomness by ChaCha20, and residues as bit strings
seeded/              SEAL's seeded ciphertexts without SEAL
switching/           evaluation keys of our own
coded/               a network as exact integers, for throughput plans
residues/            the server's arithmetic of throughput plans
bundle/              what client and server get, on disk and as text
kernels/             what a plan costs in kernels
parties/             client, server, keys, messages, backends
streams/             client and server of throughput bundles, and their frames
drafting/            the draft that passes fill in, its layouts and their cost
bounds/              the noise of a draft and the room in its modulus
passes/              the passes of the compiler, each with its checker
compiling/           the search: a Network in, a Bundle out
throughput/          the choice of scale, ring and primes: a Network in, a BatchBundle out
verify/              client and server in one process: round trips, worst inputs
"""
