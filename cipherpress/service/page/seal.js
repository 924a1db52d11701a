// SEAL 4's bytes of ciphertexts and secret keys, as docs/wire-format.md and secure/seal/saved.py describe them.

import { Writer, wordsAt } from "./bytes.js";
import { decompress } from "./vendor/fzstd.js";

const MAGIC = 0xa15e;
const HEADER_BYTES = 16;
const UNCOMPRESSED = 0;
const ZSTD = 2;
const BODY_BYTES = 97;
const SECRET_BYTES = 72;
const BLAKE2XB = 1;
export const SEED_BYTES = 64;

function withHeader(writer, size) {
  return writer.u16(MAGIC).u8(HEADER_BYTES).u8(4).u8(3).u8(UNCOMPRESSED).u16(0).u64(size);
}

function object(body) {
  return withHeader(new Writer(), HEADER_BYTES + body.length).bytes(body).done();
}

// The fields of a ciphertext, its first part (primes, N) and the seed of its second one.
function seededBody(parmsId, first, seed, primes) {
  const writer = new Writer().bytes(parmsId).u8(1).u64(2).u64(first.length / primes).u64(primes).f64(1).u64(1);
  withHeader(writer, HEADER_BYTES + 8 + 8 * first.length).u64(first.length).bytes(first);
  return withHeader(writer, HEADER_BYTES + 1 + SEED_BYTES).u8(BLAKE2XB).bytes(seed).done();
}

export function seededCiphertext(parmsId, first, seed, primes) {
  return object(seededBody(parmsId, first, seed, primes));
}

export function secretKey(parmsId, rows) {
  const writer = new Writer().bytes(parmsId).u64(rows.length).f64(1);
  return object(withHeader(writer, HEADER_BYTES + 8 + 8 * rows.length).u64(rows.length).bytes(rows).done());
}

// What follows SEAL's header, inflated.
function inflated(content, name) {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const known = content.length > HEADER_BYTES && view.getUint16(0, true) === MAGIC;
  if (!known || ![UNCOMPRESSED, ZSTD].includes(content[5])) throw new Error(`${name}: SEAL did not write it.`);
  const body = content.subarray(HEADER_BYTES);
  return content[5] === ZSTD ? decompress(body) : body;
}

// (2, level, N): the residues of a ciphertext of two parts.
export function ciphertextRows(content, level, degree, name) {
  const body = inflated(content, name);
  const words = 2 * level * degree;
  if (body.length !== BODY_BYTES + 8 * words) throw new Error(`${name}: a ciphertext of another size than the bundle's.`);
  return wordsAt(body, BODY_BYTES, words);
}

// (primes, N): the residues of a secret key.
export function secretRows(content, primes, degree) {
  const body = inflated(content, "secret key");
  const words = primes * degree;
  if (body.length !== SECRET_BYTES + 8 * words) throw new Error("The secret key belongs to other parameters.");
  return wordsAt(body, SECRET_BYTES, words);
}
