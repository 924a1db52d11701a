"""Diabetes: 442 patients, 10 features, progression of the disease after a year as a number."""

import torch
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from torch import nn

import cipherpress as cp

x, y = load_diabetes(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x, (y - y.mean()) / y.std(), test_size=0.3, random_state=0)
data = cp.Dataset("diabetes", x_train, y_train, x_test, y_test)

torch.manual_seed(0)
net = nn.Sequential(nn.BatchNorm1d(10), nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))
cp.train(net, data, cp.Recipe(epochs=60, batch_size=32, weight_decay=0.5))

bundle = cp.compile(cp.convert(net, data), data)
plain = r2_score(y_test, net(torch.tensor(data.x_test)).detach())
result = cp.round_trip(bundle, data.x_test, y_test)
print(f"R2 on {len(y_test)} rows: {plain:.3f} plain, {result['score_encrypted']:.3f} encrypted")
