"use strict";
// Charts from plain data. Lines: values under the pointer, drag to zoom, double click to see all, legend to hide.
const vfCharts = (() => {
  const NS = "http://www.w3.org/2000/svg";
  const COLOURS = 8;
  let serial = 0;

  function svg(name, attributes, parent) {
    const node = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (parent) parent.append(node);
    return node;
  }

  function html(name, className, text, parent) {
    const node = document.createElement(name);
    if (className) node.className = className;
    if (text !== undefined && text !== null) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  }

  function button(text, parent, act, pressed) {
    const node = html("button", "", text, parent);
    node.type = "button";
    if (pressed !== undefined) node.setAttribute("aria-pressed", pressed);
    node.addEventListener("click", () => act(node));
    return node;
  }

  const colour = (index) => `var(--c${index % COLOURS})`;
  const dash = (index) => ["", "6 3", "2 3", "9 3 2 3"][Math.floor(index / COLOURS) % 4];

  function shown(value) {
    if (value === null || value === undefined) return "n/a";
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size >= 1e6 || size < 1e-3) return value.toExponential(2);
    if (Number.isInteger(value)) return String(value);
    return value.toPrecision(size >= 1000 ? 6 : 4);
  }

  function short(value) {
    const size = Math.abs(value);
    if (value && (size >= 1e6 || size < 1e-4)) return Number(value.toPrecision(4)).toExponential();
    return String(Number(value.toPrecision(6)));
  }

  function ticks(low, high, most) {
    const rough = (high - low) / Math.max(1, most);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.999) || 10 * power;
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(k * step);
    return found.map((value) => (Math.abs(value) < step * 1e-9 ? 0 : Number(value.toPrecision(12))));
  }

  function logTicks(low, high) {
    const found = [];
    for (let power = Math.floor(low); power <= Math.ceil(high); power++) {
      for (const n of high - low > 3 ? [1] : [1, 2, 5]) {
        const at = power + Math.log10(n);
        if (at >= low - 1e-9 && at <= high + 1e-9) found.push(at);
      }
    }
    return found.length > 1 ? found : ticks(low, high, 4);
  }

  function padded(low, high) {
    if (low > high) return [0, 1];
    const gap = high - low || Math.abs(high) * 0.1 || 1;
    return [low - gap * 0.05, high + gap * 0.05];
  }

  class Lines {
    constructor(figure, spec) {
      this.figure = figure;
      this.spec = spec;
      this.hidden = new Set(spec.series.map((s, i) => (s.hidden ? i : -1)).filter((i) => i >= 0));
      this.zoom = null;
      this.log = false;
      this.id = `clip${serial++}`;
      this.frame();
      this.draw();
      let width = figure.clientWidth;
      new ResizeObserver(() => {
        if (figure.clientWidth !== width) { width = figure.clientWidth; this.draw(); }
      }).observe(figure);
    }

    frame() {
      const top = html("div", "bar-top", null, this.figure);
      html("h3", "", this.spec.title, top);
      const positive = this.spec.series.some((s) => s.points.length) &&
        this.spec.series.every((s) => s.points.every((p) => p[1] > 0));
      if (positive && !this.spec.y) {
        button("log", top, (node) => {
          this.log = !this.log;
          node.setAttribute("aria-pressed", this.log);
          this.draw();
        }, false);
      }
      this.reset = button("all", top, () => this.to(null));
      this.reset.title = "show all of it again (or double click)";
      this.reset.hidden = true;
      this.plot = svg("svg", { class: "plot", role: "img", "aria-label": this.spec.title }, this.figure);
      this.tip = html("div", "tip", null, this.figure);
      this.tip.hidden = true;
      if (this.spec.series.length > 1 || this.spec.legend) this.legend();
      this.listen();
    }

    legend() {
      const box = html("div", "legend", null, this.figure);
      this.spec.series.forEach((series, index) => {
        const node = button("", box, () => {
          if (this.hidden.has(index)) this.hidden.delete(index); else this.hidden.add(index);
          node.setAttribute("aria-pressed", !this.hidden.has(index));
          this.draw();
        }, !this.hidden.has(index));
        html("i", "", null, node).style.background = colour(series.colour ?? index);
        node.append(series.name);
      });
    }

    to(range) {
      this.zoom = range;
      this.reset.hidden = !range;
      this.figure.dataset.zoom = range ? range.join(" ") : "";
      this.draw();
    }

    visible() {
      return this.spec.series.map((s, index) => ({ ...s, index })).filter((s) => !this.hidden.has(s.index));
    }

    scale(points, which, fixed) {
      if (fixed && !(which === 0 && this.zoom)) return fixed;
      const values = points.map((p) => p[which]);
      let low = Infinity, high = -Infinity;
      for (const v of values) { if (v < low) low = v; if (v > high) high = v; }
      return which === 0 ? (low < high ? [low, high] : padded(low, high)) : padded(low, high);
    }

    draw() {
      const width = Math.max(240, this.figure.clientWidth - 30), height = width < 420 ? 200 : 240;
      const box = { left: 54, right: width - 10, top: 8, bottom: height - 26 };
      const value = this.log ? (v) => Math.log10(v) : (v) => v;
      const lines = this.visible().map((s) => ({ ...s, own: s.points.map((p) => [p[0], value(p[1]), p]) }));
      const all = lines.flatMap((s) => s.own);
      const xs = this.zoom || this.scale(all, 0, this.spec.x);
      const inside = all.filter((p) => p[0] >= xs[0] && p[0] <= xs[1]);
      const ys = this.scale(inside.length ? inside : all, 1, this.log ? null : this.spec.y);
      const px = (x) => box.left + ((x - xs[0]) / (xs[1] - xs[0])) * (box.right - box.left);
      const py = (y) => box.bottom - ((y - ys[0]) / (ys[1] - ys[0])) * (box.bottom - box.top);
      this.view = { box, xs, px, py, lines };
      this.plot.replaceChildren();
      this.plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
      this.plot.style.height = `${height}px`;
      this.axes(box, xs, ys, px, py);
      const clip = svg("clipPath", { id: this.id }, this.plot);
      const [wide, high] = [box.right - box.left + 6, box.bottom - box.top + 6];
      svg("rect", { x: box.left - 3, y: box.top - 3, width: wide, height: high }, clip);
      const layer = svg("g", { "clip-path": `url(#${this.id})` }, this.plot);
      for (const line of lines) this.line(line, layer, px, py);
      this.over = svg("g", {}, this.plot);
      this.tip.hidden = true;
    }

    axes(box, xs, ys, px, py) {
      const marks = this.log ? logTicks(ys[0], ys[1]) : ticks(ys[0], ys[1], 5);
      for (const y of marks) {
        svg("line", { class: "grid-line", x1: box.left, x2: box.right, y1: py(y), y2: py(y) }, this.plot);
        const text = svg("text", { x: box.left - 6, y: py(y) + 4, "text-anchor": "end" }, this.plot);
        text.textContent = short(this.log ? Number((10 ** y).toPrecision(3)) : y);
      }
      const wide = box.right - box.left;
      for (const x of ticks(xs[0], xs[1], Math.max(2, wide / 90))) {
        svg("line", { class: "axis", x1: px(x), x2: px(x), y1: box.bottom, y2: box.bottom + 4 }, this.plot);
        const anchor = px(x) > box.right - 14 ? "end" : "middle";
        const text = svg("text", { x: px(x), y: box.bottom + 16, "text-anchor": anchor }, this.plot);
        text.textContent = short(x);
      }
      svg("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }, this.plot);
    }

    line(line, layer, px, py) {
      if (!line.own.length) return;
      const path = line.own.map((p, i) => `${i ? "L" : "M"}${px(p[0]).toFixed(1)} ${py(p[1]).toFixed(1)}`).join("");
      const own = line.colour ?? line.index;
      svg("path", { class: "series", d: path, stroke: colour(own), "stroke-dasharray": line.dash ?? dash(own),
        "data-name": line.name }, layer);
      if (line.own.length > 40) return;
      for (const p of line.own) svg("circle", { cx: px(p[0]), cy: py(p[1]), r: 2.4, fill: colour(own) }, layer);
    }

    at(event) {
      const area = this.plot.getBoundingClientRect();
      const { box, xs } = this.view;
      const x = (event.clientX - area.left) * (this.plot.viewBox.baseVal.width / area.width);
      const part = Math.min(1, Math.max(0, (x - box.left) / (box.right - box.left)));
      return xs[0] + part * (xs[1] - xs[0]);
    }

    listen() {
      this.plot.addEventListener("pointerdown", (event) => {
        if (event.button) return;
        this.from = this.at(event);
        this.plot.setPointerCapture(event.pointerId);
      });
      this.plot.addEventListener("pointermove", (event) => this.hover(event));
      this.plot.addEventListener("pointerup", (event) => {
        const { xs } = this.view, from = this.from, to = this.at(event);
        this.from = undefined;
        if (from !== undefined && Math.abs(to - from) > (xs[1] - xs[0]) * 0.02) {
          this.to([Math.min(from, to), Math.max(from, to)]);
        } else {
          this.hover(event);
        }
      });
      this.plot.addEventListener("pointercancel", () => { this.from = undefined; this.leave(); });
      this.plot.addEventListener("pointerleave", () => { if (this.from === undefined) this.leave(); });
      this.plot.addEventListener("dblclick", () => this.to(null));
    }

    leave() {
      this.over.replaceChildren();
      this.tip.hidden = true;
    }

    hover(event) {
      const { box, px, py, lines } = this.view, x = this.at(event);
      this.over.replaceChildren();
      if (this.from !== undefined) {
        const [a, b] = [px(Math.min(this.from, x)), px(Math.max(this.from, x))];
        svg("rect", { class: "pick", x: a, y: box.top, width: b - a, height: box.bottom - box.top }, this.over);
      }
      const near = lines.filter((s) => s.own.length).map((s) => ({ ...s, near: nearest(s.own, x) }));
      if (!near.length) return this.leave();
      const best = near.reduce((a, b) => (Math.abs(b.near[0] - x) < Math.abs(a.near[0] - x) ? b : a)).near[0];
      svg("line", { class: "cross", x1: px(best), x2: px(best), y1: box.top, y2: box.bottom }, this.over);
      this.tip.replaceChildren();
      html("div", "soft", `${this.spec.unit || "step"} ${shown(best)}`, this.tip);
      for (const s of near.slice(0, 14)) {
        svg("circle", { cx: px(s.near[0]), cy: py(s.near[1]), r: 3.6, fill: colour(s.colour ?? s.index) }, this.over);
        const row = html("div", "", null, this.tip);
        html("i", "", null, row).style.background = colour(s.colour ?? s.index);
        const where = s.near[0] === best ? "" : ` (at ${shown(s.near[0])})`;
        const more = s.near[2][2] === undefined ? "" : `, ${s.near[2][2]}`;
        row.append(`${s.name} ${shown(s.near[2][1])}${where}${more}`);
      }
      if (near.length > 14) html("div", "soft", `and ${near.length - 14} more`, this.tip);
      place(this.tip, event, this.figure);
    }
  }

  function nearest(points, x) {
    let low = 0, high = points.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (points[middle][0] <= x) low = middle; else high = middle;
    }
    return Math.abs(points[low][0] - x) <= Math.abs(points[high][0] - x) ? points[low] : points[high];
  }

  function place(tip, event, figure) {
    const area = figure.getBoundingClientRect();
    tip.hidden = false;
    const x = event.clientX - area.left, y = event.clientY - area.top;
    const left = x + 14 + tip.offsetWidth > area.width ? x - tip.offsetWidth - 14 : x + 14;
    tip.style.left = `${Math.max(0, left)}px`;
    tip.style.top = `${Math.max(0, y - tip.offsetHeight / 2)}px`;
  }

  return { Lines, svg, html, button, colour, shown, place };
})();
