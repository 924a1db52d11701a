// The client of one bundle for latency: it makes keys, encrypts inputs and decrypts answers. Secrets never leave it,
// but for `secretFile`, which the person asks for.

import { fromHex, inflatedInts, sameBytes, sha256, toHex } from "./bytes.js";
import { encrypted, residueRows } from "./ciphertexts.js";
import { EVALUATION_KEY, REPLY, REQUEST, SECRET_KEY, keyIdOf, pack, unpack } from "./container.js";
import { randomBytes } from "./core.js";
import { KeyMaker } from "./keys.js";
import { checkParameters } from "./parameters.js";
import * as seal from "./seal.js";

const MAP = /"int32_zlib_base64": "([^"]*)"/g;

// What the bundle's client.json says, checked, with its digest.
export async function readSpec(text) {
  const spec = JSON.parse(text);
  if (spec.kind !== "cipherpress-client") throw new Error("client.json: it is no client's part of a bundle.");
  if (spec.mode === "throughput")
    throw new Error("This bundle takes batches of images. Use `cipherpress predict`; this page sends one input at a time.");
  const params = checkParameters(spec.params, spec.galois_elements);
  const levels = [spec.galois_levels ?? [], spec.relin_level ?? []].flat();
  if (levels.length !== spec.galois_elements.length + Number(spec.relinearize))
    throw new Error("This bundle names no levels of its keys, so it is an old one. Ask the server's owner to compile it again.");
  const maps = new Map();
  for (const [, packed] of text.matchAll(MAP)) maps.set(packed, await inflatedInts(packed));
  // the digest is of the same text with each map's hash in its place
  const hashes = new Map();
  for (const [packed, values] of maps) hashes.set(packed, toHex(await sha256(values.buffer)));
  const hashed = text.replace(MAP, (_, packed) => `"sha256": "${hashes.get(packed)}"`);
  return {
    ...spec,
    params,
    inputSlots: maps.get(spec.input_slots.int32_zlib_base64),
    outputSlots: maps.get(spec.output_slots.int32_zlib_base64),
    digest: await sha256(new TextEncoder().encode(hashed)),
  };
}

export class Client {
  constructor(core, spec) {
    this.core = core;
    this.spec = spec;
    this.tables = spec.params.primes.map((prime) => core.tables(prime, spec.params.degree));
  }

  // A fresh secret key, and the evaluation key that goes with it. Returns the evaluation key's file.
  async makeKeys() {
    const { core, spec } = this;
    const ternary = core.ternary(spec.params.degree);
    this.secret = spec.params.primes.map((prime, which) => core.residues(ternary, prime, this.tables[which]));
    const maker = new KeyMaker(core, spec.params, this.tables, ternary, this.secret);
    const items = [
      maker.relinearization(spec.relin_level ?? 0),
      maker.rotations(spec.galois_elements, spec.galois_levels ?? []),
    ];
    this.keyId = items.some((item) => item.length) ? await keyIdOf(spec.bundle_id, items) : randomBytes(16);
    return pack(EVALUATION_KEY, spec.bundle_id, this.keyId, [...items, spec.digest]);
  }

  // The request for one input: flat numbers in the accepted range.
  async encrypt(values) {
    const { spec } = this;
    const slots = spec.params.degree / 2;
    const [ciphertexts, planes] = spec.input_slots.shape;
    const primes = spec.params.primes.slice(0, spec.input_level);
    const items = [];
    for (let number = 0; number < ciphertexts; number++) {
      const pairs = new Float64Array(2 * slots);
      for (let plane = 0; plane < planes; plane++)
        for (let slot = 0; slot < slots; slot++) {
          const feature = spec.inputSlots[(number * planes + plane) * slots + slot];
          if (feature >= 0) pairs[2 * slot + plane] = values[feature];
        }
      const coefficients = this.core.encode(pairs, spec.input_scale);
      items.push(encrypted(this.core, coefficients, this.secret, primes, this.tables));
    }
    return pack(REQUEST, spec.bundle_id, this.keyId, items);
  }

  // The outputs (flat, float64) that a reply holds.
  async decrypt(content) {
    const { spec, core } = this;
    const reply = await unpack(content, REPLY, "The answer");
    if (reply.bundleId !== spec.bundle_id || !sameBytes(reply.keyId, this.keyId))
      throw new Error("The answer belongs to another network or another key. Reload the page.");
    if (reply.items.length !== spec.output_levels.length)
      throw new Error(`The answer holds ${reply.items.length} ciphertexts, the network's has ${spec.output_levels.length}.`);
    const slots = reply.items.map((item, number) => {
      const level = spec.output_levels[number];
      const primes = spec.params.primes.slice(0, level);
      const rows = joined(residueRows(core, item, primes, spec.params.degree, "The answer"));
      const secret = joined(this.secret.slice(0, level));
      return core.open(rows, secret, primes, this.tables.slice(0, level), spec.output_scales[number]);
    });
    const folded = slots.map((pairs) => foldedReal(pairs, spec.output_folds ?? []));
    const outputs = spec.outputSlots.length / 2;
    return Float64Array.from({ length: outputs }, (_, output) => {
      const [ciphertext, slot] = [spec.outputSlots[2 * output], spec.outputSlots[2 * output + 1]];
      return folded[ciphertext][slot];
    });
  }

  // The secret key as a file that `cipherpress decrypt` reads.
  secretFile() {
    const { degree, sealPrimes } = this.spec.params;
    const rows = this.secret.slice(0, sealPrimes.length);
    const item = seal.secretKey(this.core.parmsId(degree, sealPrimes), joined(rows));
    return pack(SECRET_KEY, this.spec.bundle_id, this.keyId, [item, this.spec.digest]);
  }

  // Take a secret key that `cipherpress keygen` or this page made.
  async useSecretFile(content) {
    const { spec } = this;
    const { degree, sealPrimes } = spec.params;
    const { bundleId, keyId, items } = await unpack(content, SECRET_KEY, "The secret key");
    if (bundleId !== spec.bundle_id || !sameBytes(items.at(-1), spec.digest))
      throw new Error("The secret key was made for another network.");
    const rows = seal.secretRows(items[0], sealPrimes.length, degree);
    this.secret = sealPrimes.map((_, which) => rows.slice(which * degree, (which + 1) * degree));
    this.keyId = keyId;
  }
}

function joined(rows) {
  const result = new BigUint64Array(rows.length * rows[0].length);
  rows.forEach((row, which) => result.set(row, which * row.length));
  return result;
}

// The real parts of slots, after the folds that are left to the client.
function foldedReal(pairs, folds) {
  let slots = pairs.filter((_, place) => place % 2 === 0);
  for (const fold of folds) slots = slots.map((value, slot) => value + slots[(slot + fold) % slots.length]);
  return slots;
}

// The features that a network with a front end takes: chosen cosine coefficients of each channel, times a gain.
export function features(values, front) {
  if (!front) return values;
  const [, rows, columns] = front.shape;
  const basis = (frequency, place, size) =>
    Math.sqrt((frequency ? 2 : 1) / size) * Math.cos((Math.PI * frequency * (2 * place + 1)) / (2 * size));
  return Float64Array.from(front.indices, (index, feature) => {
    const channel = Math.floor(index / (rows * columns));
    const vertical = Math.floor(index / columns) % rows;
    const horizontal = index % columns;
    let total = 0;
    for (let row = 0; row < rows; row++) {
      const weight = basis(vertical, row, rows);
      for (let column = 0; column < columns; column++)
        total += values[(channel * rows + row) * columns + column] * weight * basis(horizontal, column, columns);
    }
    return total * front.gains[feature];
  });
}

// The values within the accepted range, and how many were outside.
export function clipped(values, spec) {
  const end = (ends, place) => (Array.isArray(ends) ? ends[place] : ends);
  let outside = 0;
  const kept = Float64Array.from(values, (value, place) => {
    const inside = Math.min(Math.max(value, end(spec.input_low, place)), end(spec.input_high, place));
    outside += inside !== value;
    return inside;
  });
  return { kept, outside };
}
