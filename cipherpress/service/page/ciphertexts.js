// Ciphertexts of requests and replies as strings of bits (docs/wire-format.md, "Ciphertexts").

import { Writer, sameBytes } from "./bytes.js";
import { bitsOf, randomBytes } from "./core.js";

const MAGIC = new TextEncoder().encode("CPSCTXT1");
const HEAD_BYTES = 16;
const SEED_BYTES = 32;

// m + e - a s modulo each prime, with a fresh error, and the fresh seed that a is expanded from.
export function encrypted(core, coefficients, secret, primes, tables) {
  const degree = coefficients.length;
  const seed = randomBytes(SEED_BYTES);
  const noisy = core.errors(degree).map((error, place) => error + coefficients[place]);
  const writer = new Writer().bytes(MAGIC).u32(1).u32(0).bytes(seed);
  primes.forEach((prime, row) => {
    const uniform = core.uniformRow(seed, row, 0, prime, degree);
    writer.bytes(core.packed(core.hidden(noisy, uniform, secret[row], prime, tables[row]), prime));
  });
  return writer.done();
}

// (2, level, N): the residues of a reply's ciphertext, one row after the other.
export function residueRows(core, item, primes, degree, name) {
  const sizes = primes.map((prime) => (degree * bitsOf(prime)) / 8);
  const size = HEAD_BYTES + 2 * sizes.reduce((sum, one) => sum + one, 0);
  if (item.length !== size || !sameBytes(item.subarray(0, 8), MAGIC) || item[8] !== 2)
    throw new Error(`${name}: it holds no ciphertext that this page reads. The server may run by SEAL alone.`);
  const rows = [];
  let place = HEAD_BYTES;
  for (let part = 0; part < 2; part++)
    primes.forEach((prime, row) => {
      rows.push(core.unpacked(item.subarray(place, place + sizes[row]), prime, degree, name));
      place += sizes[row];
    });
  return rows;
}
