// The client's evaluation keys in cipherpress' own form (docs/wire-format.md, "Evaluation keys"): seeded, packed, and
// each no larger than the level of its use needs.

import { Writer } from "./bytes.js";
import { randomBytes } from "./core.js";

const MAGIC = new TextEncoder().encode("CPSWKEY1");
const SEED_BYTES = 32;

export class KeyMaker {
  // secret: the rows of s modulo every prime; ternary: its coefficients.
  constructor(core, params, tables, ternary, secret) {
    Object.assign(this, { core, params, tables, ternary, secret });
  }

  // The item with the key for the square of the secret; empty for level 0.
  relinearization(level) {
    const target = (row) => this.core.square(this.secret[row], this.params.primes[row]);
    return this.#item(level ? [{ level, target }] : []);
  }

  // The item with the keys of these Galois elements, each for values of its level.
  rotations(elements, levels) {
    const keys = elements.map((element, number) => {
      const moved = this.core.automorphism(this.ternary, element);
      const target = (row) => this.core.residues(moved, this.params.primes[row], this.tables[row]);
      return { level: levels[number], target };
    });
    return this.#item(keys);
  }

  #item(keys) {
    const writer = new Writer();
    if (!keys.length) return writer.done();
    writer.bytes(MAGIC).u32(keys.length).u32(0);
    for (const { level, target } of keys) this.#write(writer, level, target);
    return writer.done();
  }

  // Digit by digit, row by row: e - u s, plus P s' on the rows of the digit's own primes.
  #write(writer, level, target) {
    const { core, params, tables, secret } = this;
    const { degree, primes, dataPrimes } = params;
    const rows = primes.map((_, row) => row).filter((row) => row < level || row >= dataPrimes.length);
    const special = primes.slice(dataPrimes.length).reduce((product, prime) => product * prime, 1n);
    const targets = rows.map((row) => (row < level ? target(row) : null));
    const seed = randomBytes(SEED_BYTES);
    writer.bytes(seed);
    params.digitsAt(level).forEach(({ start, end }, digit) => {
      const error = core.errors(degree);
      rows.forEach((row, place) => {
        const prime = primes[row];
        const uniform = core.uniformRow(seed, row, digit, prime, degree);
        let body = core.hidden(error, uniform, secret[row], prime, tables[row]);
        if (row >= start && row < end) body = core.plusMultiple(body, targets[place], special % prime, prime);
        writer.bytes(core.packed(body, prime));
      });
    });
  }
}
