"""A thousand encrypted digits at once, on a server that has no key. Takes about a minute on one core."""

import numpy as np

import cipherpress as cp

data = cp.load_data("mnist")
small = cp.finetune(cp.opq(cp.load_model("mlp"), sparsity=0.8, bits=5), data)  # few codes that are not zero: less work
bundle = cp.compile(cp.convert(small, data), data, mode="throughput")
print(bundle.explain())  # ring, non-zeros by layer, predicted error and images per second

client, server = cp.Client(bundle.client), cp.Server(bundle.server)  # nothing is registered: there is no evaluation key
request = client.encrypt_batch(data.x_test[:1000])  # any number of images
reply = server.run_batch(request)
scores = client.decrypt_batch(reply)  # float64, (1000, 10)

accuracy = np.mean(scores.argmax(axis=1) == data.y_test[:1000])
print(f"{len(request) / 1e6:.1f} MB sent, {len(reply) / 1e6:.2f} MB received, no key")
print(f"named right while encrypted: {accuracy:.1%} of 1000")
