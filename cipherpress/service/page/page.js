// What a person sees and does. The worker computes; this file shows.

import { Pad } from "./pad.js";
import { digit, image, showBytes } from "./picture.js";
import { Refused, models, useToken } from "./transport.js";

const element = (id) => document.getElementById(id);
const pad = new Pad(element("pad"));
const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const UNAUTHORIZED = 401;
const waiting = new Map();
let network = null;
let opened = null;
let asked = 0;

worker.onmessage = ({ data }) => {
  if (data.kind === "step") return addStep(data.name, data.ms);
  if (data.kind === "uploading") return say(`Uploading the evaluation key: ${Math.round(100 * data.share)} %.`);
  const { resolve, reject } = waiting.get(data.id);
  waiting.delete(data.id);
  if (data.kind === "done") resolve(data.result);
  else reject(new Error(data.message));
};
worker.onerror = () => problem("This browser can't run the page's worker. Use a current Chromium, Firefox or Safari.");

function request(action, fields = {}) {
  const id = ++asked;
  const answer = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
  worker.postMessage({ id, action, ...fields });
  return answer;
}

function say(text) {
  element("answer").textContent = text;
}

function problem(text) {
  element("problem").textContent = text;
  element("problem").hidden = !text;
}

// Run an action; whatever goes wrong is shown as a sentence.
async function guarded(work) {
  problem("");
  element("ask").disabled = true;
  try {
    await work();
  } catch (error) {
    problem(error.message);
    say("No answer.");
    if (error instanceof Refused && error.status === UNAUTHORIZED) element("token-row").hidden = false;
  }
  element("ask").disabled = !network;
}

function addStep(name, ms) {
  const row = element("steps").insertRow();
  row.insertCell().textContent = name;
  row.insertCell().textContent = `${ms.toFixed(1)} ms`;
}

function bytesText(count) {
  return count < 1e6 ? `${(count / 1e3).toFixed(1)} KB` : `${(count / 1e6).toFixed(2)} MB`;
}

async function open(name) {
  network = null;
  element("steps").replaceChildren();
  say("Making keys.");
  network = await request("open", { model: name, token: element("token").value });
  element("parameters").textContent = `128-bit security: ${network.parameters}.`;
  const pictures = network.inputShape.length === 3 && [1, 3].includes(network.inputShape[0]);
  element("draw").hidden = element("file-label").hidden = !pictures;
  element("numbers").hidden = pictures;
  const count = network.inputShape.reduce((product, size) => product * size, 1);
  element("values-label").textContent = `${count} numbers, separated by spaces or commas`;
  element("save-key").disabled = false;
  say("Ready for an input.");
}

function isDigits() {
  return network.inputShape.join() === "1,28,28";
}

function inputValues() {
  if (!element("numbers").hidden) {
    const values = element("values").value.split(/[\s,;]+/).filter(Boolean).map(Number);
    const count = network.inputShape.reduce((product, size) => product * size, 1);
    if (values.length !== count || values.some((value) => !Number.isFinite(value)))
      throw new Error(`The network takes ${count} numbers; the field holds ${values.length}. Give as many as it takes.`);
    return Float64Array.from(values);
  }
  if (opened) return image(opened, network.inputShape);
  const values = isDigits() ? digit(pad.canvas) : image(pad.canvas, network.inputShape);
  if (!values) throw new Error("The drawing area is empty. Draw something, or open an image.");
  return values;
}

async function ask() {
  const values = inputValues();
  element("steps").replaceChildren();
  const { outputs, outside, request: sent, reply } = await request("ask", { values });
  showBytes(element("sent"), sent);
  showBytes(element("received"), reply);
  element("sent-bytes").textContent = bytesText(sent.length);
  element("received-bytes").textContent = bytesText(reply.length);
  showOutputs(outputs);
  if (outside) problem(`${outside} values were outside the accepted range and were brought to its ends.`);
}

function showOutputs(outputs) {
  const bars = element("bars");
  bars.replaceChildren();
  const name = (output) => network.classNames?.[output] ?? String(output);
  const shown = outputs.length === 1 || network.task === "regression" || network.task === "autoencoder";
  if (shown) {
    say(Array.from(outputs.slice(0, 20), (value) => value.toPrecision(5)).join(", "));
    return;
  }
  const largest = Math.max(...outputs);
  const weights = Array.from(outputs, (value) => Math.exp(value - largest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  weights.forEach((weight, output) => {
    const share = weight / total;
    const row = document.createElement("li");
    const [label, bar, number] = ["span", "span", "span"].map((tag) => document.createElement(tag));
    [bar.className, number.className] = ["bar", "number"];
    label.textContent = name(output);
    bar.style.width = `${100 * share}%`;
    number.textContent = `${(100 * share).toFixed(1)} %`;
    row.append(label, bar, number);
    bars.append(row);
  });
  say(`It is ${name(outputs.indexOf(largest))}.`);
}

async function openFile(file) {
  if (!file) return;
  try {
    opened = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name} is no image that this browser can open.`);
  }
  pad.show(opened);
}

async function saveKey() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([await request("secretFile")]));
  link.download = "secret.key";
  link.click();
  URL.revokeObjectURL(link.href);
}

async function start() {
  if (!globalThis.isSecureContext)
    throw new Error("The browser gives no cryptography to this address. Open the page by https, or on localhost.");
  useToken(element("token").value);
  const names = await models();
  if (!names.length) throw new Error("The server offers no network.");
  element("token-row").hidden = true;
  element("model").replaceChildren(...names.map((name) => new Option(name, name)));
  element("model").disabled = false;
  await open(names[0]);
}

element("model").addEventListener("change", () => guarded(() => open(element("model").value)));
element("use-token").addEventListener("click", () => guarded(start));
element("ask").addEventListener("click", () => guarded(ask));
element("clear").addEventListener("click", () => {
  opened = null;
  pad.clear();
  element("values").value = "";
});
element("pad").addEventListener("pointerdown", () => (opened = null));
element("file").addEventListener("change", (event) => guarded(() => openFile(event.target.files[0])));
element("load-key").addEventListener("change", (event) =>
  guarded(async () => request("useSecretFile", { content: new Uint8Array(await event.target.files[0].arrayBuffer()) })),
);
element("save-key").addEventListener("click", () => guarded(saveKey));
for (const label of document.querySelectorAll("label.button"))
  label.addEventListener("keydown", (event) => ["Enter", " "].includes(event.key) && label.querySelector("input").click());
guarded(start);
