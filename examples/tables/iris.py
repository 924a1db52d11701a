"""Iris: 150 flowers, 4 lengths, 3 species by name. Labels are text, and answers are names."""

import torch
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
from torch import nn

import cipherpress as cp

flowers = load_iris()
names = flowers.target_names[flowers.target]  # "setosa", "versicolor", "virginica"
x_train, x_test, y_train, y_test = train_test_split(flowers.data, names, test_size=0.3, random_state=0, stratify=names)
data = cp.Dataset("iris", x_train, y_train, x_test, y_test)

torch.manual_seed(0)
net = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 16), nn.SiLU(), nn.Linear(16, 3))
cp.train(net, data, cp.Recipe(epochs=200, batch_size=16, weight_decay=0.1))

bundle = cp.compile(cp.convert(net, data), data)
plain = (flowers.target_names[net(torch.tensor(data.x_test)).argmax(dim=1)] == y_test).mean()
result = cp.round_trip(bundle, data.x_test, data.for_outputs((3,)).y_test)
print(f"accuracy on {len(y_test)} rows: {plain:.3f} plain, {result['accuracy_encrypted']:.3f} encrypted")
