"""Digits: 1,797 images of 8x8 pixels from scikit-learn, a small convolutional network."""

import torch
from torch import nn

import cipherpress as cp

data = cp.load_data("digits")

torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, 10)
)
cp.train(net, data, cp.Recipe(epochs=40, batch_size=64, augment=False))

bundle = cp.press(net, data, cp.Setting(finetune_epochs=10), augment=False)
result = cp.round_trip(bundle, data.x_test, data.y_test)
print(
    f"accuracy on {result['images']} images: {bundle.report['about']['accuracy_plain']:.3f} plain, "
    f"{result['accuracy_encrypted']:.3f} encrypted"
)
