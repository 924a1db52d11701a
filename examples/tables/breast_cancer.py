"""Breast cancer: 569 patients, 30 features of very different sizes, benign or malignant. One logit."""

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from torch import nn

import cipherpress as cp

x, y = load_breast_cancer(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=0, stratify=y)
data = cp.Dataset("breast cancer", x_train, y_train, x_test, y_test)

torch.manual_seed(0)
net = nn.Sequential(nn.BatchNorm1d(30), nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1))  # takes raw features
cp.train(net, data, cp.Recipe(epochs=100, batch_size=32, weight_decay=0.1))
plain = np.mean((net(torch.tensor(data.x_test)).detach().numpy()[:, 0] > 0) == y_test)

bundle = cp.press(net, data, cp.Setting(finetune_epochs=20))
result = cp.round_trip(bundle, data.x_test, y_test)
print(f"accuracy on {len(y_test)} rows: {plain:.3f} plain, {result['accuracy_encrypted']:.3f} encrypted")
