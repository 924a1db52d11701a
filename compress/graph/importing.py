"""import_model: a torch model as a list of layers of a dozen kinds, by the table RULES.

Modules, functions and methods that mean the same become the same kind, so that nothing after this room knows how torch
spells them. What has no rule is refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from compress.graph import attention, contractions, moves, normalizing, resampling, rules, spellings, weighted
from compress.graph.building import Builder, Rule, by_spelling
from compress.graph.dead_branches import without_constant_branches
from compress.graph.elementwise import fuse_elementwise
from compress.graph.last_sigmoid import last_sigmoid, without_last_sigmoid
from compress.graph.layers import Imported
from compress.graph.tracing import trace
from compress.network import Shape

_POOL = "average pooling: a fixed linear map"
_POLYNOMIAL = "a polynomial of degree 2 or 4, fitted on calibration images and then trained: one or two squarings"
_PRODUCT = "with constants: a product with a plain matrix; of two values: their products side by side, then sums"
_SUM = "over any axes but the batch: a fixed linear map; the mean over all spatial axes is average pooling"
_CHOICE = "a choice of the same values and constants, merged with the linear map that reads them"
_ORDER = "another order of the same values, merged with the linear map that reads them"

#: What has a form under encryption, and which. Other targets add their own rules, or replace some of these.
RULES: tuple[Rule, ...] = (
    Rule(spellings.LINEAR, weighted.linear, "a product of the encrypted vector with a plain matrix"),
    Rule(spellings.CONVOLUTION, weighted.convolution, "a product with the plain matrix of the convolution"),
    Rule(spellings.TRANSPOSED, weighted.transposed_convolution, "a product with the plain matrix of the convolution"),
    Rule(spellings.MATRIX_PRODUCT, contractions.product, _PRODUCT),
    Rule(spellings.ADDED_PRODUCT, weighted.added_product, _PRODUCT),
    Rule(spellings.EINSUM, contractions.einsum, _PRODUCT),
    Rule(spellings.LINEAR_IN_ONE_VALUE, weighted.written_out, "a product with the matrix of the operation"),
    Rule(
        spellings.BATCH_NORM,
        normalizing.batch_norm,
        "folded into the layer before it, otherwise a plain factor and shift per channel",
    ),
    Rule(spellings.BATCH_NORM_FUNCTION, normalizing.batch_norm_function, "a plain factor and shift per channel"),
    Rule(
        spellings.NORM_OF_EACH_INPUT,
        normalizing.norm_of_each_input,
        "trained constants in place of the statistics of each input: a plain factor and shift",
    ),
    Rule(spellings.CHANNEL_AFFINE, normalizing.channel_affine),
    Rule(spellings.FITTED_NORM, normalizing.fitted_norm),
    Rule(spellings.FITTED_SOFTMAX, attention.fitted_softmax),
    Rule(spellings.POLYNOMIAL, rules.polynomial),
    Rule(spellings.ACTIVATION_MODULES, rules.activation_module, _POLYNOMIAL),
    Rule(spellings.ACTIVATION_FUNCTIONS, rules.activation_function, _POLYNOMIAL),
    Rule(spellings.COMPOSED, rules.activation_module),
    Rule(
        spellings.PARTS, rules.part, "in a function of one value, as in x * (x > 0): the same, for the whole function"
    ),
    Rule(spellings.SQUARE, rules.square, "one squaring"),
    Rule(
        spellings.POWER,
        rules.power,
        "exponent 2: one squaring; 3 or 4: two squarings; a larger whole exponent: a fitted polynomial",
    ),
    Rule(spellings.ADD, rules.add, "of two encrypted values: one addition; of a constant: a plain shift"),
    Rule(spellings.SUBTRACT, rules.subtract, "of two encrypted values: one subtraction; of a constant: a plain shift"),
    Rule(
        spellings.MULTIPLY,
        rules.multiply,
        "by a constant: a plain factor; of a value by itself: one squaring; of two values: one product, or two "
        "squarings side by side where that is faster",
    ),
    Rule(spellings.DIVIDE, rules.divide, "by a constant: a plain factor"),
    Rule(spellings.NEGATE, rules.negate, "a plain factor of -1"),
    Rule(spellings.AVERAGE_POOL, resampling.average_pool, _POOL),
    Rule(spellings.ADAPTIVE_AVERAGE_POOL, resampling.adaptive_average_pool, _POOL),
    Rule(spellings.MEAN, resampling.mean, _SUM),
    Rule(spellings.SUM, resampling.total, _SUM),
    Rule(spellings.INTERPOLATE, resampling.interpolate, "a fixed linear map"),
    Rule(spellings.MAX_POOL, resampling.max_pool, _POOL + "; training makes up for the difference"),
    Rule(spellings.ADAPTIVE_MAX_POOL, resampling.adaptive_max_pool, _POOL + "; training makes up for the difference"),
    Rule(spellings.RESHAPE, rules.reshape, _ORDER, moves=True),
    Rule(spellings.PERMUTE, rules.permute, _ORDER, moves=True),
    Rule(spellings.TRANSPOSE, rules.permute, _ORDER, moves=True),
    Rule(spellings.CONCATENATE, moves.concatenate, _CHOICE, moves=True),
    Rule(spellings.ITEM, moves.item, _CHOICE, moves=True),
    Rule(spellings.PAD, moves.move, _CHOICE, moves=True),
    Rule(spellings.MOVE, moves.move, _CHOICE, moves=True),
    Rule(spellings.ALIAS, rules.alias, "nothing: left out", moves=True),
    Rule(spellings.DROPOUT, rules.dropout_function, "with training=False nothing: left out"),
    Rule(
        spellings.SOFTMAX,
        attention.softmax,
        "at the end nothing: left out, because the classes keep their order; of scores of attention (not "
        "log-softmax) trained constants: a factor per head and a shift per score, as in linear attention",
    ),
)


def import_model(
    module: nn.Module,
    input_shape: Shape,
    table: Sequence[Rule] = RULES,
    *,
    compose: bool = True,
    logits: bool = False,
) -> Imported:
    """The layers of an evaluation-mode module for inputs of `input_shape` (without the batch axis).

    table: what has a form on the target, which is CKKS unless told otherwise; of two rules for one spelling the later.
    compose: whether element-wise functions of one value in several operations become one activation, and branches that
    depend on no input constants.
    logits: leave out a sigmoid at the end, so that the outputs are logits in place of probabilities.
    Raises: UnsupportedLayerError, InputShapeError.
    """
    traced = trace(module, tuple(input_shape))
    traced, dropped = without_last_sigmoid(traced) if logits else (traced, ())
    ends_in_sigmoid = last_sigmoid(traced) is not None
    if compose:
        traced = fuse_elementwise(without_constant_branches(traced))
    found = Builder(traced, by_spelling(table)).run(tuple(input_shape))
    return replace(found, dropped=(*dropped, *found.dropped), ends_in_sigmoid=ends_in_sigmoid)
