"""Housing: 2,000 made-up districts like California's: income, age, rooms, position; the median price as a number."""

import numpy as np
import torch
from sklearn.metrics import r2_score
from torch import nn

import cipherpress as cp

rng = np.random.default_rng(0)
income, age, rooms = rng.lognormal(1.2, 0.45, 2000), rng.uniform(1, 52, 2000), rng.lognormal(1.6, 0.3, 2000)
people, north, west = rng.lognormal(7.0, 0.7, 2000), rng.uniform(32.5, 42, 2000), rng.uniform(-124, -114, 2000)
coast = np.exp(-(((north - 34 + 0.8 * (west + 118)) / 2) ** 2))  # a strip from north-west to south-east
price = 0.45 * income + 1.5 * coast + 0.005 * age - 0.1 * np.log(people / rooms) + rng.normal(0, 0.3, 2000)
x = np.stack([income, age, rooms, people, north, west], axis=1)
data = cp.Dataset("housing", x[:1500], price[:1500], x[1500:], price[1500:])

torch.manual_seed(0)
net = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 1))
cp.train(net, data, cp.Recipe(epochs=60, batch_size=32))

bundle = cp.compile(cp.convert(net, data), data)
plain = r2_score(data.y_test, net(torch.tensor(data.x_test)).detach())
result = cp.round_trip(bundle, data.x_test, data.y_test)
print(f"R2 on 500 rows: {plain:.3f} plain, {result['score_encrypted']:.3f} encrypted")
