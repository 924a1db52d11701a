"""Networks of several inputs and outputs, from a torch module to encrypted answers."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

import cipherpress as cp
from compress.graph.joined import Joined, joined
from compress.parts import Part, join, split

RNG = np.random.default_rng(0)
IMAGES, ROWS = (RNG.normal(size=shape).astype(np.float32) for shape in ((240, 1, 4, 4), (240, 3)))


class TwoInputs(nn.Module):
    """Takes an image and a row; returns a mapping of scores and a reconstruction."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.from_image, self.from_row = nn.Linear(32, 8), nn.Linear(3, 8)
        self.head, self.back = nn.Linear(16, 2), nn.Linear(16, 16)

    def hidden(self, image, row):
        first = torch.relu(self.from_image(self.conv(image).flatten(1)))
        return torch.cat([first, torch.relu(self.from_row(row))], dim=1)

    def forward(self, image, row):
        hidden = self.hidden(image, row)
        return {"scores": self.head(hidden), "image": self.back(hidden).reshape(-1, 1, 4, 4)}


class Tuple(TwoInputs):
    def forward(self, image, row):
        return tuple(super().forward(image, row).values())


class Mapped(TwoInputs):
    """Takes one mapping."""

    def forward(self, inputs):
        return super().forward(inputs["image"], inputs["row"])


class Classifier(TwoInputs):
    """Returns the scores alone, inside of a mapping; the reconstruction is computed and not returned."""

    def forward(self, image, row):
        return {"scores": super().forward(image, row)["scores"]}


def answers(module):
    with torch.no_grad():
        return module(torch.from_numpy(IMAGES), torch.from_numpy(ROWS))


@cache
def bundle():
    data = {"image": IMAGES, "row": ROWS}
    network = cp.convert(TwoInputs(), data)
    return network, cp.compile(network, data)


def test_parts_go_into_flat_rows_and_back():
    parts = (Part("image", (1, 4, 4)), Part("row", (3,)))
    rows = join((IMAGES, ROWS), parts)
    assert rows.shape == (240, 19)
    for found, wanted in zip(split(rows, parts), (IMAGES, ROWS), strict=True):
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(join({"row": ROWS[0], "image": IMAGES[0]}, parts), rows[0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((IMAGES[0],), r"input: got 1 parts; the network takes 2 in a tuple or by name: image \(1, 4, 4\), row \(3,\)"),
        (3, r"input: got int; the network takes 2 in a tuple"),
        ({"image": IMAGES[0]}, r"input: it has the parts image; the network takes image \(1, 4, 4\), row \(3,\)"),
        ((IMAGES[0], ROWS[0, :2]), r"input 'row': shape \(2,\); the network takes \(3,\)"),
        ((IMAGES[:2], ROWS[:3]), "input: its parts hold different numbers of rows"),
    ],
)
def test_parts_that_do_not_fit_are_named(values, message):
    with pytest.raises(cp.InputShapeError, match=message):
        join(values, (Part("image", (1, 4, 4)), Part("row", (3,))))


def test_the_joined_module_shares_everything_with_its_module():
    module = TwoInputs()
    whole, data = joined(module, cp.as_dataset({"image": IMAGES, "row": ROWS}))
    assert isinstance(whole, Joined)
    assert list(whole.state_dict()) == list(module.state_dict())
    assert whole.conv is module.conv and not whole.train().eval().joined_module.training
    found = whole(torch.from_numpy(np.concatenate([IMAGES.reshape(240, -1), ROWS], axis=1)))
    wanted = torch.cat([part.flatten(1) for part in answers(module).values()], dim=1)
    torch.testing.assert_close(found.detach(), wanted)
    assert data.output_parts == (Part("scores", (2,)), Part("image", (1, 4, 4)))
    again, same = joined(whole, data)
    assert again is whole and same.output_parts == data.output_parts


@pytest.mark.parametrize("kind", [TwoInputs, Tuple, Mapped])
def test_networks_of_two_inputs_and_outputs_are_converted(kind):
    """The forms of one network are converted to the same; `bundle` trains it."""
    data = {"image": IMAGES, "row": ROWS}
    network = cp.convert(kind(), data, cp.Conversion(epochs=0))
    assert network.input_shape == (19,) and network.output_shape == (18,)
    assert [part["name"] for part in network.about["inputs"]] == ["image", "row"]
    names = ["0", "1"] if kind is Tuple else ["scores", "image"]
    assert network.about["outputs"] == [
        {"name": name, "shape": shape} for name, shape in zip(names, ([2], [1, 4, 4]), strict=True)
    ]
    assert network.about["task"] == "none"
    assert {"conv", "from_image", "head"} <= {node.name for node in network.nodes}
    rows = np.concatenate([IMAGES.reshape(240, -1), ROWS], axis=1)
    wanted = cp.convert(TwoInputs(), data, cp.Conversion(epochs=0)).run(rows)
    np.testing.assert_allclose(network.run(rows), wanted, rtol=1e-4, atol=1e-5)


def test_training_keeps_what_several_outputs_say():
    assert bundle()[0].about["score_after"] > 0.85


def test_a_mapping_of_one_output_is_that_output_and_labels_name_its_classes():
    module = Classifier()
    labels = answers(module)["scores"].argmax(dim=1).numpy()
    network = cp.convert(module, ((IMAGES, ROWS), labels), cp.Conversion(epochs=40))
    assert network.output_shape == (2,) and "outputs" not in network.about
    assert network.about["task"] == "classes" and network.about["accuracy_after"] > 0.8
    assert "back" not in {node.name for node in network.nodes}


def test_class_labels_are_left_aside_for_several_outputs():
    network = cp.convert(TwoInputs(), ((IMAGES, ROWS), np.arange(240) % 2), cp.Conversion(epochs=0))
    assert network.about["task"] == "none" and not network.about["labels_used"]


def test_clients_take_tuples_and_mappings_and_give_tuples():
    network, made = bundle()
    client, server = cp.Client(made.client), cp.Server(made.server)
    server.register(client.evaluation_key)
    wanted = network.run(np.concatenate([IMAGES[:1].reshape(1, -1), ROWS[:1]], axis=1))[0]
    for given in ((IMAGES[0], ROWS[0]), {"row": ROWS[0], "image": IMAGES[0]}):
        found = client.decrypt(server.run(client.encrypt(given)))
        assert [part.shape for part in found] == [(2,), (1, 4, 4)]
        assert (
            np.abs(np.concatenate([part.ravel() for part in found]) - wanted).max() <= made.client.predicted_logit_error
        )
    replies = [server.run(request) for request in client.encrypt_many((IMAGES[:2], ROWS[:2]))]
    assert [part.shape for part in client.decrypt(replies)] == [(2, 2), (2, 1, 4, 4)]
    with pytest.raises(cp.InputShapeError, match=r"input 'image': shape \(3,\)"):
        client.encrypt((ROWS[0], IMAGES[0]))


def test_compression_takes_several_inputs_too():
    module, data = TwoInputs(), {"image": IMAGES, "row": ROWS}
    small = cp.finetune(cp.opq(module, sparsity=0.3, bits=5), data, teacher=module, epochs=4)
    network = cp.convert(small, data, cp.Conversion(epochs=60), teacher=module)
    assert network.about["score_after"] > 0.85
    assert [step["method"] for step in network.about["history"]] == ["opq", "finetune"]
    assert cp.weight_curvature(module, data, images=64).keys() >= {"conv", "head"}


def test_an_interface_is_saved_with_the_bundle(tmp_path):
    _, made = bundle()
    cp.save(made, tmp_path / "bundle")
    assert cp.load_client(tmp_path / "bundle").interface == made.client.interface
    assert made.client.interface.input_parts == (Part("image", (1, 4, 4)), Part("row", (3,)))


def test_inputs_that_the_network_does_not_take_are_named():
    with pytest.raises(cp.InputShapeError, match=r"the network does not take the inputs 0 \(3,\), 1 \(1, 4, 4\) \("):
        cp.convert(TwoInputs(), {"x": (ROWS, IMAGES)})


class Odd(nn.Linear):
    def forward(self, x):
        return super().forward(x), 3


def test_outputs_that_are_no_tensors_are_named():
    with pytest.raises(cp.InputShapeError, match=r"output '1': int for 2 rows; return tensors with one row for each"):
        cp.convert(Odd(3, 2), ROWS)
