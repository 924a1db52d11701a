// Writing and reading little-endian fields, hashes and slot maps.

export class Writer {
  constructor() {
    this.parts = [];
    this.length = 0;
  }

  bytes(content) {
    const part = new Uint8Array(content.buffer ?? content, content.byteOffset ?? 0, content.byteLength);
    this.parts.push(part);
    this.length += part.length;
    return this;
  }

  field(size, set) {
    const view = new DataView(new ArrayBuffer(size));
    set(view);
    return this.bytes(new Uint8Array(view.buffer));
  }

  u8(value) {
    return this.field(1, (view) => view.setUint8(0, value));
  }

  u16(value) {
    return this.field(2, (view) => view.setUint16(0, value, true));
  }

  u32(value) {
    return this.field(4, (view) => view.setUint32(0, value, true));
  }

  u64(value) {
    return this.field(8, (view) => view.setBigUint64(0, BigInt(value), true));
  }

  f64(value) {
    return this.field(8, (view) => view.setFloat64(0, value, true));
  }

  done() {
    const result = new Uint8Array(this.length);
    let place = 0;
    for (const part of this.parts) {
      result.set(part, place);
      place += part.length;
    }
    return result;
  }
}

// Words of eight bytes at any offset of a byte array.
export function wordsAt(bytes, offset, count) {
  return new BigUint64Array(bytes.slice(offset, offset + 8 * count).buffer);
}

export async function sha256(content) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", content));
}

export function toHex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function fromHex(text) {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

export function sameBytes(left, right) {
  return left.length === right.length && left.every((byte, place) => byte === right[place]);
}

// int32 values of a text in base64 that zlib made.
export async function inflatedInts(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Int32Array(await new Response(stream).arrayBuffer());
}
