// From a drawing or an image file to the numbers that a network takes, and bytes as a picture.

// MNIST's own preparation: the strokes scaled into 20 x 20, their centre of mass in the middle of 28 x 28.
const DIGIT_SIDE = 28;
const STROKE_SIDE = 20;

function grey(canvas) {
  const { width, height } = canvas;
  const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const values = new Float64Array(width * height);
  for (let place = 0, pixel = 0; place < values.length; place++, pixel += 4)
    values[place] = (0.299 * pixels[pixel] + 0.587 * pixels[pixel + 1] + 0.114 * pixels[pixel + 2]) / 255;
  return values;
}

function box(values, width) {
  let [left, right, top, bottom] = [width, -1, Infinity, -1];
  values.forEach((value, place) => {
    if (value < 0.1) return;
    const [row, column] = [Math.floor(place / width), place % width];
    left = Math.min(left, column);
    right = Math.max(right, column);
    top = Math.min(top, row);
    bottom = Math.max(bottom, row);
  });
  return right < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

function scaledTo(width, height, source, from, to) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, from.left, from.top, from.width, from.height, to.left, to.top, to.width, to.height);
  return canvas;
}

// (784) from 0 to 1 of a drawing in white on black; null for an empty one.
export function digit(canvas) {
  const found = box(grey(canvas), canvas.width);
  if (!found) return null;
  const factor = STROKE_SIDE / Math.max(found.width, found.height);
  const [width, height] = [found.width * factor, found.height * factor];
  const placed = (left, top) => grey(scaledTo(DIGIT_SIDE, DIGIT_SIDE, canvas, found, { left, top, width, height }));
  const [left, top] = [(DIGIT_SIDE - width) / 2, (DIGIT_SIDE - height) / 2];
  const centred = placed(left, top);
  let [mass, across, down] = [0, 0, 0];
  centred.forEach((value, place) => {
    mass += value;
    across += value * (place % DIGIT_SIDE);
    down += value * Math.floor(place / DIGIT_SIDE);
  });
  const middle = (DIGIT_SIDE - 1) / 2;
  return placed(left + Math.round(middle - across / mass), top + Math.round(middle - down / mass));
}

// (channels, rows, columns) from 0 to 1 of an image, cut to the middle and scaled.
export function image(source, [channels, rows, columns]) {
  const factor = Math.min(source.width / columns, source.height / rows);
  const [width, height] = [columns * factor, rows * factor];
  const from = { left: (source.width - width) / 2, top: (source.height - height) / 2, width, height };
  const canvas = scaledTo(columns, rows, source, from, { left: 0, top: 0, width: columns, height: rows });
  if (channels === 1) return grey(canvas);
  const pixels = canvas.getContext("2d").getImageData(0, 0, columns, rows).data;
  const area = rows * columns;
  return Float64Array.from({ length: 3 * area }, (_, place) => pixels[4 * (place % area) + Math.floor(place / area)] / 255);
}

// Show bytes as grey pixels, evenly taken from all of them.
export function showBytes(canvas, bytes) {
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, canvas.height);
  const area = canvas.width * canvas.height;
  const stride = Math.max(1, Math.floor(bytes.length / area));
  const pixels = new Uint32Array(picture.data.buffer);
  for (let place = 0; place < area; place++)
    pixels[place] = 0xff000000 | (0x010101 * bytes[(place * stride) % bytes.length]); // opaque grey, little-endian
  context.putImageData(picture, 0, 0);
}
