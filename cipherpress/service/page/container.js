// The container of requests, replies and keys (docs/wire-format.md, "The container").

import { Writer, fromHex, sameBytes, sha256, toHex } from "./bytes.js";

export const REQUEST = 1;
export const REPLY = 2;
export const EVALUATION_KEY = 3;
export const SECRET_KEY = 4;

const MAGIC = new TextEncoder().encode("CIPHPRS2");
const HEADER_BYTES = 64;
const HASH_BYTES = 32;
const MOST_ITEMS = 4096;

export async function pack(kind, bundleId, keyId, items) {
  const writer = new Writer().bytes(MAGIC).u8(kind).bytes(new Uint8Array(3)).u32(items.length);
  writer.bytes(fromHex(bundleId)).bytes(keyId);
  for (const item of items) writer.u64(item.length);
  for (const item of items) writer.bytes(item);
  const content = writer.done();
  return new Writer().bytes(content).bytes(await sha256(content)).done();
}

// {bundleId, keyId, items} of a container of this kind. `name` is what messages call it.
export async function unpack(content, kind, name) {
  const wrong = (what) => new Error(`${name}: ${what}. It was damaged on its way, or it is of another program.`);
  if (content.length < HEADER_BYTES + HASH_BYTES || !sameBytes(content.subarray(0, 8), MAGIC))
    throw wrong("it is no cipherpress file of a version that this page reads");
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  if (content[8] !== kind) throw wrong(`it is of kind ${content[8]}, not ${kind}`);
  const count = view.getUint32(12, true);
  if (count < 1 || count > MOST_ITEMS) throw wrong(`it states ${count} items`);
  let place = HEADER_BYTES + 8 * count;
  if (place + HASH_BYTES > content.length) throw wrong("it is cut off");
  const items = [];
  for (let item = 0; item < count; item++) {
    const length = Number(view.getBigUint64(HEADER_BYTES + 8 * item, true));
    if (place + length + HASH_BYTES > content.length) throw wrong("its lengths do not fit");
    items.push(content.subarray(place, place + length));
    place += length;
  }
  if (place + HASH_BYTES !== content.length) throw wrong("bytes follow its last item");
  const hash = await sha256(content.subarray(0, place));
  if (!sameBytes(hash, content.subarray(place))) throw wrong("its hash does not match its content");
  return { bundleId: toHex(content.subarray(16, 48)), keyId: content.slice(48, 64), items };
}

// The id of an evaluation key: the start of the hash of its content.
export async function keyIdOf(bundleId, items) {
  const writer = new Writer().bytes(new TextEncoder().encode("cipherpress evaluation key")).bytes(fromHex(bundleId));
  for (const item of items) writer.u64(item.length).bytes(item);
  return (await sha256(writer.done())).slice(0, 16);
}
