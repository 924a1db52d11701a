// The drawing area: pointer (mouse, finger, pen) and keyboard draw the same strokes.

const PEN_WIDTH = 22;
const KEY_STEP = 10;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pad {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.pen = [canvas.width / 2, canvas.height / 2];
    this.down = false;
    this.clear();
    canvas.addEventListener("pointerdown", (event) => this.#start(event));
    canvas.addEventListener("pointermove", (event) => this.down && event.buttons && this.#lineTo(this.#at(event)));
    canvas.addEventListener("pointerup", () => (this.down = false));
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  clear() {
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.down = false;
  }

  // Show an image file in the drawing area.
  show(source) {
    this.clear();
    this.context.drawImage(source, 0, 0, this.canvas.width, this.canvas.height);
  }

  #at(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return [((event.clientX - left) * this.canvas.width) / width, ((event.clientY - top) * this.canvas.height) / height];
  }

  #start(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.down = true;
    this.pen = this.#at(event);
    this.#lineTo(this.pen);
  }

  #lineTo(target) {
    const { context } = this;
    context.strokeStyle = "#fff";
    context.lineWidth = PEN_WIDTH;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...this.pen);
    context.lineTo(target[0] + 0.01, target[1]);
    context.stroke();
    this.pen = target;
  }

  #key(event) {
    if (event.key === " ") {
      this.down = !this.down;
      if (this.down) this.#lineTo(this.pen);
    } else if (ARROWS[event.key]) {
      const [across, down] = ARROWS[event.key];
      const target = [this.pen[0] + KEY_STEP * across, this.pen[1] + KEY_STEP * down];
      const { width, height } = this.canvas;
      const inside = target.map((value, axis) => Math.min(Math.max(value, 0), axis ? height : width));
      if (this.down) this.#lineTo(inside);
      else this.pen = inside;
    } else return;
    event.preventDefault();
  }
}
