// What benchmarks/browser.py runs in the browser: the page's own client and node-seal, with the same parameters.

import { Client, readSpec } from "./page/client.js";
import { Core } from "./page/core.js";

const median = (values) => [...values].sort((left, right) => left - right)[Math.floor(values.length / 2)];

async function timed(work) {
  const started = performance.now();
  const result = await work();
  return [performance.now() - started, result];
}

// Start-up, then keys, request and answer as often as asked, this client's and node-seal's in turn.
globalThis.measured = async (job) => {
  const text = await (await fetch("client.json")).text();
  const [ownStart, own] = await timed(() => startOwn(text));
  const [peerStart, peer] = await timed(() => startPeer(job));
  const times = { own: [], peer: [] };
  for (let run = 0; run < job.runs; run++) {
    times.own.push(await round(own));
    times.peer.push(await round(peer));
  }
  const summary = (rows, startMs) => ({
    start_ms: startMs,
    keys_ms: median(rows.map((row) => row.keysMs)),
    encrypt_ms: median(rows.map((row) => row.encryptMs)),
    key_bytes: rows[0].keyBytes,
    request_bytes: rows[0].requestBytes,
  });
  return { own: summary(times.own, ownStart), peer: summary(times.peer, peerStart) };
};

async function round({ keys, encrypt }) {
  const [keysMs, keyBytes] = await timed(keys);
  const [encryptMs, requestBytes] = await timed(encrypt);
  return { keysMs, encryptMs, keyBytes, requestBytes };
}

async function startOwn(text) {
  const core = await Core.load(await (await fetch("page/core/core.wasm")).arrayBuffer());
  const client = new Client(core, await readSpec(text));
  const image = Float64Array.from({ length: 784 }, (_, place) => (place % 29) / 29);
  return {
    keys: async () => (await client.makeKeys()).length,
    encrypt: async () => (await client.encrypt(image)).length,
  };
}

async function startPeer({ degree, primes, steps, scale }) {
  const seal = await (await import("./node-seal/dist/index_throws.js")).default();
  const parameters = new seal.EncryptionParameters(seal.SchemeType.ckks);
  parameters.setPolyModulusDegree(degree);
  const wanted = seal.vecFromArrayModulus(primes.map((prime) => new seal.Modulus(BigInt(prime))));
  parameters.setCoeffModulus(wanted);
  const context = new seal.SEALContext(parameters, true, seal.SecLevelType.tc128);
  const encoder = new seal.CKKSEncoder(context);
  const image = Float64Array.from({ length: degree / 2 }, (_, place) => (place % 29) / 29);
  const compression = seal.ComprModeType.zstd;
  let encryptor = null;
  return {
    keys: async () => {
      const generator = new seal.KeyGenerator(context);
      const secret = generator.secretKey();
      encryptor = new seal.Encryptor(context, generator.createPublicKey(), secret);
      const relinearization = generator.createRelinKeysSerializable().saveToArray(compression);
      const rotations = generator.createGaloisKeysSerializableWithSteps(Int32Array.from(steps)).saveToArray(compression);
      return relinearization.length + rotations.length;
    },
    encrypt: async () => {
      const plaintext = new seal.Plaintext();
      encoder.encode(image, scale, plaintext);
      return encryptor.encryptSymmetricSerializable(plaintext).saveToArray(compression).length;
    },
  };
}
