"""From a Network to encrypted inference. No torch here, so that a server starts without it.

params.py                    rings, moduli, the security tables
plan.py                      the frozen Plan: a straight-line program over ciphertexts
kernels.py                   what one operation costs in transforms, products and bytes
engine_schedule.py           how the engine runs a plan: as sums of values that stay to be divided
engine_kernels.py            what that costs for a whole plan
seal_kernels.py              the same under SEAL, as a core pays for it
compiling.py                 compile_network: a Network in, a Bundle out, by the cheapest plan that is right
search.py                    the choices, and which of them is tried first
stages.py                    a Network as stages whose only non-linear step is squaring
trim.py                      units that a pruned network no longer needs leave its stages
matrices.py                  linear nodes as sparse matrices
draft.py                     what the passes fill in, step by step
passes/__init__.py           the passes in their order
passes/arrange.py            1: slot maps and diagonals
passes/choose_rotations.py   2: baby steps and giant steps
passes/place_rescales.py     3: levels
passes/choose_parameters.py  4: scales and primes
passes/emit.py               5: the Plan
packing.py                   slot maps: which feature each slot carries
diagonals.py                 a linear map between slot maps as diagonals
blocks.py                    values that keep positions, as blocks of slots
block_tables.py              convolutions between values in blocks
layouts.py                   ways to lay out every value
taps.py                      a convolution over the input, tap by tap
folds.py                     how partial sums are added up, two folds at a time
stage_cost.py                what a stage costs, from its diagonals and rotations
work.py                      how much work a draft will be, before its primes are chosen
noise.py                     how much error CKKS adds, per operation
encoding.py                  the error of an encoded plaintext, computed exactly
noise_sources.py             where a draft's noise comes from, by stage
propagate.py                 the noise of a draft, stage by stage
noise_floor.py               a floor under it that costs next to nothing
met_power.py                 what a layout's weights are multiplied by
ranking.py                   which of two drafts with parameters is better
slot_values.py               what slots hold on calibration images, partial sums included
headroom.py                  how large the integers of a layout get
chains.py                    from wanted precisions to scales and primes
checkers.py                  one checker a pass
evaluate.py                  one walk along a Plan for every evaluator
clear.py                     the evaluator in clear: slots as float64
dry.py                       the evaluator of levels, scales and parts only
tenseal_evaluator.py         the real evaluator, on SEAL ciphertexts
engine/__init__.py           an evaluator of our own on SEAL's ciphertexts and keys
engine/compiled.py           how kernels are compiled and kept
engine/modular.py            modular arithmetic in float64, as compiled kernels
engine/vectors.py            eight numbers as one value in kernels
engine/tables.py             roots of unity and orders
engine/transform.py          the number-theoretic transform and its inverse
engine/base_change.py        digits and divisions, which need transforms
engine/arithmetic.py         ciphertexts as arrays: sums, products, key switches
engine/residues.py           SEAL's saved ciphertexts as residues, and back
engine/ring.py               tables and keys as residues, kept
engine/constants.py          a plan's plaintexts, encoded as its sums want them
engine/buffers.py            arrays that are used again
engine/atomics.py            words of memory that all threads write, cores
engine/team.py               threads that share the pieces of a kernel
engine/program.py            a schedule as instructions on numbered arrays
engine/addresses.py          arrays by address, for kernels
engine/execute.py            a program's instructions, as one compiled kernel
engine/running.py            a program under a client's keys, and its passes
engine/evaluator.py          a plan made ready for the engine
backends.py                  what computes on a server: the engine or SEAL
seal_context.py              SEAL's contexts, bytes and exceptions
seal_sizes.py                how large SEAL's objects are on the wire
native_frame.py              what SEAL's bytes claim, read before SEAL sees them
specs.py                     ClientSpec (no weights), ServerSpec (no secret), Bundle
bundle.py                    a Bundle on disk
container.py                 the one container for key files and messages
keys.py                      the secret key and the evaluation key: two types, two files
client.py                    Client: encrypts and decrypts
server.py                    Server: runs the plan, holds no secret
release.py                   what may leave the client of decrypted values
inputs.py                    inputs from .npy and image files
roundtrip.py                 client and server in one process over test images
adjoint.py                   derivatives of a Plan by its inputs
worst_case.py                the search for inputs that a plan stands worst
verification.py              that search, and what encryption makes of its finds
memory.py                    how much memory this process has taken
reporting.py                 the compiler's report as plain JSON values
explain.py                   a bundle as text for people
inspection.py                what a key or ciphertext file says about itself
"""
