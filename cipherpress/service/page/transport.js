// Requests to the server that offered the page (docs/service.md). Only ciphertexts and evaluation keys go through here.

import { sha256, toHex } from "./bytes.js";

const ROOT = new URL("..", new URL("./", import.meta.url));
const CHUNK_BYTES = 4 * 2 ** 20;
const PATIENCE = 5;
let token = "";

// The token that the server's owner gave to this person.
export function useToken(text) {
  token = text;
}

async function answered(path, options = {}) {
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  try {
    return await fetch(new URL(path, ROOT), { cache: "no-store", ...options, headers });
  } catch {
    throw new Error("The server does not answer. Check that it runs, then try again.");
  }
}

async function accepted(path, options) {
  for (let attempt = 1; ; attempt++) {
    const response = await answered(path, options);
    if (response.ok) return response;
    if (response.status === 429 && attempt < PATIENCE) {
      const seconds = Number(response.headers.get("Retry-After")) || 1;
      await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
      continue;
    }
    throw new Refused(response.status, await said(response));
  }
}

async function said(response) {
  try {
    return `The server refused it: ${(await response.json()).error}.`;
  } catch {
    return `The server answered with status ${response.status}.`;
  }
}

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// The names of the server's networks.
export async function models() {
  const { models: found } = await (await accepted("v2/models")).json();
  return found.map((model) => model.name ?? model);
}

// The text of a bundle's client.json.
export async function clientPart(model) {
  return (await accepted(`v2/models/${encodeURIComponent(model)}/client`)).text();
}

// Upload an evaluation key; goes on where an earlier upload ended. progress: from 0 to 1.
export async function uploadKey(content, progress) {
  const path = `v2/keys/${toHex(await sha256(content))}`;
  const known = await answered(path, { method: "HEAD" });
  if (known.ok && known.headers.get("Upload-Complete") === "?1") return;
  let offset = known.ok ? Number(known.headers.get("Upload-Offset")) : 0;
  while (offset < content.length) {
    const end = Math.min(offset + CHUNK_BYTES, content.length);
    const headers = {
      "Content-Type": "application/octet-stream",
      "Upload-Offset": String(offset),
      "Upload-Length": String(content.length),
      "Upload-Complete": end === content.length ? "?1" : "?0",
    };
    await accepted(path, { method: "PATCH", headers, body: content.subarray(offset, end) });
    offset = end;
    progress(offset / content.length);
  }
}

// {reply, planMs}: the server's answer to a request.
export async function infer(model, request) {
  const headers = { "Content-Type": "application/octet-stream" };
  const path = `v2/models/${encodeURIComponent(model)}/infer`;
  const response = await accepted(path, { method: "POST", headers, body: request });
  const [, planMs] = /plan;dur=([\d.]+)/.exec(response.headers.get("Server-Timing") ?? "") ?? [];
  return { reply: new Uint8Array(await response.arrayBuffer()), planMs: Number(planMs) };
}
