"""What a compressed torch module is: weights held to codebooks or masks, and that module on disk (our folder, ONNX).

compressed.py  CompressedModel: a torch module held to codebooks or masks, and its history
codebook.py    integer codes, one rounding rule, power-of-two steps
quantizer.py   the codebook as a torch parametrization
masking.py     a mask without a codebook as a torch parametrization
folding.py     normalization folded into the layer before it
unhooked.py    a copy without the hooks of torch.nn.utils, not in half precision
precision.py   which floating type a module computes in
history.py     what a step in the history may say: the fields that code reads, by type
record.py      model.json of a saved CompressedModel, checked
saved.py       a CompressedModel on disk
bitpack.py     small integers packed bit by bit
onnx_file.py   an ordinary ONNX file, checked against the module
"""
