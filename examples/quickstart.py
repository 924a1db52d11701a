"""From a trained network to an encrypted prediction and its price: the API in one page. Takes about a minute on one
core.
"""

import cipherpress as cp

data = cp.load_data("mnist")
net = cp.load_model("mlp")  # any torch.nn.Module does
small = cp.finetune(cp.opq(net, sparsity=0.5, bits=5), data)  # -> CompressedModel
bundle = cp.compile(cp.convert(small, data), data)  # -> plan, parameters, key manifest
print(bundle.explain())  # levels, rotations, keys, predicted error and latency

client, server = cp.Client(bundle.client), cp.Server(bundle.server)  # only the client's type can hold a secret key
server.register(client.evaluation_key)
logits = client.decrypt(server.run(client.encrypt(data.x_test[0])))  # float64, shape (10,)

print(cp.compare(bundle, ["cpu-seal", "eyeriss", "craterlake"]))  # latency and energy, plain and encrypted
print(f"the first test digit is a {data.y_test[0]}; named while encrypted: {logits.argmax()}")
