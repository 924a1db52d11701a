// core.wasm with typed arrays: every call copies its inputs in and its results out, and gives the memory back, zeroed.

export class Core {
  static async load(bytes) {
    const { instance } = await WebAssembly.instantiate(bytes, {});
    return new Core(instance.exports);
  }

  constructor(exports) {
    this.wasm = exports;
  }

  // The result of work(room): `room.put(array)` copies an array in, `room.take(bytes)` is a fresh block,
  // `room.get(Type, address, length)` copies an array out. All of it is zeroed and given back afterwards.
  within(work) {
    const { wasm } = this;
    const start = wasm.mark();
    const view = (Type, address, length) => new Type(wasm.memory.buffer, address, length);
    const take = (bytes) => {
      const address = wasm.take(bytes) >>> 0;
      if (!address) throw new Error("The browser gave no more memory. Close other tabs and try again.");
      return address;
    };
    const room = {
      take,
      put(array) {
        const address = take(array.byteLength);
        view(array.constructor, address, array.length).set(array);
        return address;
      },
      get: (Type, address, length) => view(Type, address, length).slice(),
    };
    try {
      return work(room, wasm);
    } finally {
      wasm.release(start);
    }
  }

  // (2N): the powers of a prime's root that transforms need.
  tables(prime, degree) {
    return this.within((room, wasm) => {
      const result = room.take(16 * degree);
      if (!wasm.make_tables(prime, degree, result))
        throw new Error(`client.json: ${prime} is no prime for N = ${degree}. Ask the server's owner for a sound bundle.`);
      return room.get(BigUint64Array, result, 2 * degree);
    });
  }

  // SEAL's name (4 words) of the parameters with these primes.
  parmsId(degree, primes) {
    return this.within((room, wasm) => {
      const words = BigUint64Array.of(2n, BigInt(degree), ...primes, 0n);
      const result = room.take(32);
      wasm.parms_id(room.put(words), words.length, result);
      return room.get(BigUint64Array, result, 4);
    });
  }

  // (N) from two random bytes per coefficient: -1, 0 and 1, each as likely.
  ternary(degree) {
    for (;;) {
      const drawn = this.within((room, wasm) => {
        const result = room.take(8 * degree);
        const enough = wasm.ternary(room.put(randomBytes(2 * degree)), 2 * degree, degree, result);
        return enough ? room.get(Float64Array, result, degree) : null;
      });
      if (drawn) return drawn;
    }
  }

  // (N): fresh errors of SEAL's distribution.
  errors(degree) {
    return this.within((room, wasm) => {
      const result = room.take(8 * degree);
      wasm.errors(room.put(randomBytes(6 * degree)), degree, result);
      return room.get(Float64Array, result, degree);
    });
  }

  // (N): the residues of a second part: those of a seed of 32 bytes for a row, and of a key for a digit.
  uniformRow(seed, row, digit, prime, degree) {
    return this.within((room, wasm) => {
      const result = room.take(8 * degree);
      wasm.uniform_row(room.put(seed), row, digit, prime, bitsOf(prime), degree, result);
      return room.get(BigUint64Array, result, degree);
    });
  }

  // Residues as a string of bits.
  packed(row, prime) {
    return this.within((room, wasm) => {
      const size = (row.length * bitsOf(prime)) / 8;
      const result = room.take(size);
      wasm.pack_row(room.put(row), bitsOf(prime), row.length, result);
      return room.get(Uint8Array, result, size);
    });
  }

  // Residues of a string of bits; an Error names what holds one that is not below its prime.
  unpacked(bytes, prime, degree, name) {
    return this.within((room, wasm) => {
      const row = room.take(8 * degree);
      wasm.unpack_row(room.put(bytes), bitsOf(prime), degree, row);
      const residues = room.get(BigUint64Array, row, degree);
      if (residues.some((residue) => residue >= prime)) throw new Error(`${name}: it was damaged on its way.`);
      return residues;
    });
  }

  // Values in SEAL's order of a polynomial with these whole coefficients.
  residues(coefficients, prime, tables) {
    const degree = coefficients.length;
    return this.within((room, wasm) => {
      const row = room.take(8 * degree);
      wasm.residues(room.put(coefficients), prime, room.put(tables), degree, row);
      return room.get(BigUint64Array, row, degree);
    });
  }

  // message + error - random * secret; message and error together are coefficients.
  hidden(coefficients, random, secret, prime, tables) {
    const degree = coefficients.length;
    return this.within((room, wasm) => {
      const row = room.take(8 * degree);
      wasm.residues(room.put(coefficients), prime, room.put(tables), degree, row);
      wasm.hide(row, room.put(random), room.put(secret), prime, degree);
      return room.get(BigUint64Array, row, degree);
    });
  }

  // row + factor * other.
  plusMultiple(row, other, factor, prime) {
    return this.within((room, wasm) => {
      const result = room.put(row);
      wasm.add_multiple(result, room.put(other), factor, prime, row.length);
      return room.get(BigUint64Array, result, row.length);
    });
  }

  square(row, prime) {
    return this.within((room, wasm) => {
      const result = room.take(row.byteLength);
      wasm.square(room.put(row), prime, row.length, result);
      return room.get(BigUint64Array, result, row.length);
    });
  }

  automorphism(coefficients, element) {
    const degree = coefficients.length;
    return this.within((room, wasm) => {
      const result = room.take(8 * degree);
      wasm.automorphism(room.put(coefficients), element, degree, result);
      return room.get(Float64Array, result, degree);
    });
  }

  // Whole coefficients (N) of slots, given as (real, imaginary) pairs, at a scale.
  encode(pairs, scale) {
    const degree = pairs.length;
    return this.within((room, wasm) => {
      const result = room.take(8 * degree);
      wasm.encode(room.put(pairs), scale, degree, result, room.take(16 * degree));
      return room.get(Float64Array, result, degree);
    });
  }

  // Slots as pairs of the ciphertext rows (2, level, N) under the secret rows (level, N).
  open(rows, secret, primes, tables, scale) {
    const level = primes.length;
    const degree = rows.length / (2 * level);
    return this.within((room, wasm) => {
      const coefficients = room.take(8 * degree);
      const joined = new BigUint64Array(2 * degree * level);
      tables.forEach((table, which) => joined.set(table, 2 * degree * which));
      const inputs = [rows, secret, BigUint64Array.from(primes), joined].map(room.put);
      wasm.open_ciphertext(...inputs, level, degree, room.take(8 * level * degree), coefficients);
      const slots = room.take(8 * degree);
      wasm.decode(coefficients, scale, degree, slots, room.take(16 * degree));
      return room.get(Float64Array, slots, degree);
    });
  }
}

export function bitsOf(prime) {
  return prime.toString(2).length;
}

// Bytes of the browser's cryptographic generator, which gives 65,536 at a time.
export function randomBytes(count) {
  const bytes = new Uint8Array(count);
  for (let start = 0; start < count; start += 65536) crypto.getRandomValues(bytes.subarray(start, start + 65536));
  return bytes;
}
