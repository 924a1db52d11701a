"""From the layers of a native network to a frozen Network that takes images.

    image -> rows -> columns -> kept -> features -> hidden1 -> square1 -> ... -> classes

The first five nodes are the front end, which `about["front"]` names. Weights are integer codes with one power of two
per layer, so that a plan for throughput computes with the codes themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compress.front import Front, cosine_matrix
from compress.native.layers import Coded
from compress.network import Affine, AxisMap, Dense, Gather, Input, Network, Node, Polynomial, Weights

#: The last node of the front end.
FEATURES = "features"


def exported(front: Front, layers: Sequence[Coded], bits: int) -> Network:
    """The frozen network of a front end and layers, of which all but the last are squared."""
    nodes = front_nodes(front)
    for number, layer in enumerate(layers, start=1):
        last = number == len(layers)
        rows = len(layer.codes)
        dense = Dense(
            name="classes" if last else f"hidden{number}",
            inputs=(nodes[-1].name,),
            shape=(rows,),
            weights=Weights(
                codes=layer.codes.astype(np.int8 if bits <= 8 else np.int16),
                step=np.array(2.0**layer.log2_step),
                bits=bits,
            ),
            bias=layer.bias,
        )
        nodes.append(dense)
        if not last:
            square = np.array([[0.0], [0.0], [1.0]])
            nodes.append(Polynomial(name=f"square{number}", inputs=(dense.name,), shape=(rows,), coefficients=square))
    return Network(nodes=tuple(nodes), about={"front": {**front.as_json(), "node": FEATURES}})


def front_nodes(front: Front) -> list[Node]:
    """The front end as linear nodes, from the image to its features."""
    rows, columns = (cosine_matrix(size) for size in front.shape[1:])
    kept = (front.features,)
    return [
        Input(name="image", inputs=(), shape=front.shape),
        AxisMap(name="rows", inputs=("image",), shape=front.shape, axis=1, matrix=rows),
        AxisMap(name="columns", inputs=("rows",), shape=front.shape, axis=2, matrix=columns),
        Gather(name="kept", inputs=("columns",), shape=kept, indices=np.array(front.indices)),
        Affine(name=FEATURES, inputs=("kept",), shape=kept, scale=np.array(front.gains), shift=np.zeros(1)),
    ]
