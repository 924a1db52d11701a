"""From a torch model to a small, CKKS-friendly, frozen Network. Torch ends in this package.

errors.py             the error tree of the whole project
network.py            the frozen Network and its numpy run (the waist: everything after it is compared with it)
network_file.py       a Network on disk
model.py              CompressedModel: a torch module held to codebooks or masks, and its history
model_folder.py       a CompressedModel on disk
artifact.py           folders on disk: written whole or not at all, checked when read
bitpack.py            small integers packed bit by bit
opq.py                one-shot pruning and quantization in closed form
magnitude.py          the baseline: uniform magnitude pruning and quantization
curvature.py          how much the answers depend on each weight
gradual.py            OPQ in several shots, fine-tuned in between
dead_units.py         units that pruning has cut off, cleared
target_rate.py        a method to a wanted compression rate
allocation.py         pruning rates and bits over layers
laplace.py            closed forms for Laplace-distributed weights
masks.py              pruning masks with exact counts
blocks.py             block pruning after LPViT: score, share out, refit
block_patterns.py     families of blocks: tiles, bands, residue classes, inputs, outputs, taps
block_importance.py   what removing a block costs: second-order Taylor on calibration data
block_cost.py         what the blocks that stay cost: the interface, plain-blocks, ckks-diagonals
dense_cost.py         what a dense layer costs on ciphertexts, as the compiler lays it out
block_choices.py      a layer's nested masks, and the fill that meets a budget to the block
block_curves.py       what pruning a layer does to the answers: Taylor, or measured on calibration images
prefix_cache.py       what runs before a layer, run once
block_baselines.py    uniform and global-magnitude allocation
hardware_aware.py     the objective: distortion and power under a budget of time, exact over layers
reconstruction.py     survivors refitted by least squares
joint.py              joint power-of-two quantization, module after module
joint_search.py       the search over one module's grids
joint_codes.py        a module's integers from its torch layers and its grids
joint_network.py      the quantized network, fake-quantized and in integers only
module_arithmetic.py  one operation of such a network, in float64 and in integers
unified.py            a network as modules with one quantization point each
unifying.py           the pass that makes them, and the count of points
fixed_point.py        power-of-two grids, shifts, accumulators, rounded division, integer roots
code_table.py         an element-wise function as a table over codes
integer_norm.py       layer normalization in integers
integer_softmax.py    softmax in integers
masking.py            a mask without a codebook as a torch parametrization
codebook.py           integer codes, one rounding rule, power-of-two steps
quantizer.py          the codebook as a torch parametrization
precision.py          which floating type a module computes in
entropy.py            lengths of Golomb-Rice codes, to the bit
adaptive_coding.py    positions and values of a layer in one arithmetic code
accounting.py         what a compressed model weighs, every bit counted
training.py           the one training loop
finetune.py           fine-tuning with masks and codebooks fixed
pressing.py           the methods in a row, by one setting
held_out.py           training images set aside for a search
targets.py            what a search has to reach, what it tried, what came of it
targeting.py          the search for a compressed network that meets a target
candidates.py         the networks a search asks for, and what a compiler says they cost
targets_file.py       a search on disk, and as a picture (optional matplotlib)
pareto.py             undominated points
augment.py            small distortions of training images
convert.py            a torch model in, a Network out
distill.py            the loss that a converted network learns from its original
tracing.py            a module as a graph of operations (torch.fx)
importing.py          the graph as a list of checked layers
integer_importing.py  the same for integers: also attention and layer normalization
unsupported.py        what to use instead of a layer that has no form here
folding.py            normalization folded into the layer before it
friendly.py           activations to polynomials, max pooling to average pooling
modules.py            the torch modules that conversion puts in
polynomial.py         least squares, substitution, completed square
plain_export.py       an ordinary ONNX file, checked against the module
exporting.py          layers to Network: torch tensors become numpy arrays here
calibrate.py          ranges on every edge of a Network
inspection.py         models and networks as rows for people
allocation_plot.py    a compressed model by layer as a picture (optional matplotlib)
"""
