// Everything that computes, away from the page's thread: keys, encryption, decryption. The secret key stays in here.

import { Client, clipped, features, readSpec } from "./client.js";
import { Core } from "./core.js";
import { Refused, clientPart, infer, uploadKey, useToken } from "./transport.js";

const KEY_MISSING = 409;
let client = null;
let model = null;
let evaluationKey = null;

const core = fetch(new URL("core/core.wasm", import.meta.url))
  .then((response) => response.arrayBuffer())
  .then((bytes) => Core.load(bytes));

function step(name, started) {
  postMessage({ kind: "step", name, ms: performance.now() - started });
}

async function timed(name, work) {
  const started = performance.now();
  const result = await work();
  step(name, started);
  return result;
}

const actions = {
  // Fetch a network's client part, make keys and upload the evaluation key.
  async open({ model: name, token }) {
    useToken(token);
    model = name;
    client = null;
    const text = await timed("fetch the network's parameters", () => clientPart(model));
    const opened = new Client(await core, await readSpec(text));
    evaluationKey = await timed("make keys", () => opened.makeKeys());
    client = opened;
    const upload = () => uploadKey(evaluationKey, (share) => postMessage({ kind: "uploading", share }));
    await timed(`upload the evaluation key, ${size(evaluationKey.length)}`, upload);
    return described(opened.spec);
  },

  async ask({ values }) {
    const { spec } = client;
    const { kept, outside } = clipped(features(values, spec.interface?.front), spec);
    const request = await timed("encrypt", () => client.encrypt(kept));
    const started = performance.now();
    const { reply, planMs } = await answer(request);
    step("send, compute, receive", started);
    if (planMs) postMessage({ kind: "step", name: "of which the server computes", ms: planMs });
    const outputs = await timed("decrypt", () => client.decrypt(reply));
    return { outputs, outside, request, reply };
  },

  async secretFile() {
    return client.secretFile();
  },

  async useSecretFile({ content }) {
    await client.useSecretFile(content);
    evaluationKey = null;
  },
};

// The server may have dropped the key since: then it is uploaded once more.
async function answer(request) {
  try {
    return await infer(model, request);
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== KEY_MISSING || !evaluationKey) throw error;
    await uploadKey(evaluationKey, () => {});
    return infer(model, request);
  }
}

function size(bytes) {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} KB` : `${(bytes / 1e6).toFixed(2)} MB`;
}

function described(spec) {
  const { degree, primes } = spec.params;
  const bits = primes.map((prime) => prime.toString(2).length).join(" + ");
  const front = spec.interface?.front;
  return {
    inputShape: front ? front.shape : spec.input_shape,
    outputs: spec.outputSlots.length / 2,
    task: spec.interface?.task ?? "classes",
    threshold: spec.interface?.threshold ?? 0,
    classNames: spec.interface?.class_names ?? null,
    error: spec.predicted_logit_error,
    parameters: `N = ${degree}, primes of ${bits} bits, ${spec.galois_elements.length} rotation keys; network ${spec.bundle_id.slice(0, 12)}`,
  };
}

onmessage = async ({ data }) => {
  try {
    postMessage({ kind: "done", id: data.id, result: await actions[data.action](data) });
  } catch (error) {
    postMessage({ kind: "failed", id: data.id, message: error.message });
  }
};
