// SEAL 4's bytes of a secret key, as secure/seal/saved.py describes them: for a key that goes to a file or comes from one.

import { Writer, wordsAt } from "./bytes.js";
import { decompress } from "./vendor/fzstd.js";

const MAGIC = 0xa15e;
const HEADER_BYTES = 16;
const UNCOMPRESSED = 0;
const ZSTD = 2;
const SECRET_BYTES = 72;

function withHeader(writer, size) {
  return writer.u16(MAGIC).u8(HEADER_BYTES).u8(4).u8(3).u8(UNCOMPRESSED).u16(0).u64(size);
}

export function secretKey(parmsId, rows) {
  const writer = new Writer().bytes(parmsId).u64(rows.length).f64(1);
  const body = withHeader(writer, HEADER_BYTES + 8 + 8 * rows.length).u64(rows.length).bytes(rows).done();
  return withHeader(new Writer(), HEADER_BYTES + body.length).bytes(body).done();
}

// (primes, N): the residues of a secret key.
export function secretRows(content, primes, degree) {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const known = content.length > HEADER_BYTES && view.getUint16(0, true) === MAGIC;
  if (!known || ![UNCOMPRESSED, ZSTD].includes(content[5])) throw new Error("The secret key: SEAL did not write it.");
  const packed = content.subarray(HEADER_BYTES);
  const body = content[5] === ZSTD ? decompress(packed) : packed;
  const words = primes * degree;
  if (body.length !== SECRET_BYTES + 8 * words) throw new Error("The secret key belongs to other parameters.");
  return wordsAt(body, SECRET_BYTES, words);
}
