"""Wine: 178 bottles, 13 chemical measurements, 3 growers."""

import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from torch import nn

import cipherpress as cp

x, y = load_wine(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=0, stratify=y)
data = cp.Dataset("wine", x_train, y_train, x_test, y_test)

torch.manual_seed(0)
net = nn.Sequential(nn.BatchNorm1d(13), nn.Linear(13, 16), nn.Tanh(), nn.Linear(16, 3))  # takes raw measurements
cp.train(net, data, cp.Recipe(epochs=100, batch_size=32, weight_decay=0.1))

bundle = cp.compile(cp.convert(net, data), data)
plain = (net(torch.tensor(data.x_test)).argmax(dim=1).numpy() == y_test).mean()
result = cp.round_trip(bundle, data.x_test, y_test)
print(f"accuracy on {len(y_test)} rows: {plain:.3f} plain, {result['accuracy_encrypted']:.3f} encrypted")
