"use strict";
/* What charts are made of: elements, scales, axes and the tip. Every text goes in as text, never as HTML. */

function make(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function html(tag, className = "", ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

function show(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e7 || size < 1e-4 ? value.toExponential(2) : String(Number(value.toPrecision(5)));
  return size >= 1e4 && size < 1e7 ? value.toLocaleString("en", { maximumFractionDigits: 0 }).replace("-", "−")
    : text.replace("-", "−");
}

function brief(value) {
  const size = Math.abs(value);
  for (const [limit, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]])
    if (size >= limit) return Number((value / (limit === 1e4 ? 1e3 : limit)).toPrecision(4)) + letter;
  return show(value);
}

function head(name, most) {
  return name.length > most ? name.slice(0, most - 1) + "…" : name;
}

function tail(name, most) {
  return name.length > most ? "…" + name.slice(1 - most) : name;
}

const pen = document.createElement("canvas").getContext("2d");

/* How many pixels a chart's text takes. */
function wide(text, box) {
  pen.font = `12px ${getComputedStyle(box).fontFamily}`;
  return pen.measureText(text).width;
}

/* Round numbers that cover the range. */
function ticks([low, high], count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

/* What stands beside ticks: numbers of equally many decimals, unless one of them is written otherwise. */
function labels(values) {
  const texts = values.map(brief), digits = (text) => (text.split(".")[1] ?? "").length;
  if (!texts.every((text) => /^−?\d+(\.\d+)?$/.test(text))) return texts;
  const most = Math.max(...texts.map(digits));
  return values.map((value) => value.toFixed(most).replace("-", "−"));
}

function extent(values, margin = 0.06) {
  if (!values.length) return [0, 1];
  const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
  const room = (high - low) * margin || Math.abs(high) * 0.05 || 1;
  return [low - room, high + room];
}

function scale([low, high], [start, end]) {
  const place = (value) => start + ((value - low) / (high - low)) * (end - start);
  place.inverse = (position) => low + ((position - start) / (end - start)) * (high - low);
  return place;
}

/* An empty chart in `box`, as wide as it is; returns what plots draw with. */
function frame(box, { label, height, x, y, xLabel, yLabel, left = 58 }) {
  const width = Math.max(240, box.clientWidth - 24), top = 22, right = 14, bottom = 40;
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "group", "aria-label": label });
  const px = scale(x, [left, width - right]), py = scale(y, [height - bottom, top]);
  const levels = ticks(y, height / 60), steps = ticks(x, width / 110);
  const beside = labels(levels), below = labels(steps);
  levels.forEach((value, k) => {
    svg.append(make("line", { class: "rule", x1: left, x2: width - right, y1: py(value), y2: py(value) }));
    svg.append(make("text", { x: left - 8, y: py(value) + 4, "text-anchor": "end" }, beside[k]));
  });
  steps.forEach((value, k) => {
    svg.append(make("line", { class: "axis", x1: px(value), x2: px(value), y1: height - bottom, y2: height - bottom + 4 }));
    svg.append(make("text", { x: px(value), y: height - bottom + 18, "text-anchor": "middle" }, below[k]));
  });
  svg.append(make("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }));
  svg.append(make("text", { x: width - right, y: height - 4, "text-anchor": "end" }, xLabel));
  svg.append(make("text", { x: 0, y: 11 }, yLabel));
  box.replaceChildren(svg);
  return { svg, px, py, width, height, left, right, top, bottom };
}

function mark(index, x, y, size = 5.5) {
  const shapes = [
    () => make("circle", { cx: x, cy: y, r: size }),
    () => make("path", { d: `M${x},${y - size * 1.2}L${x + size * 1.15},${y + size}H${x - size * 1.15}Z` }),
    () => make("rect", { x: x - size * 0.9, y: y - size * 0.9, width: size * 1.8, height: size * 1.8 }),
    () => make("path", { d: `M${x},${y - size * 1.3}L${x + size * 1.3},${y}L${x},${y + size * 1.3}L${x - size * 1.3},${y}Z` }),
  ];
  const node = shapes[Math.floor(index / 10) % 4]();
  node.setAttribute("class", `mark c${index % 10}`);
  node.dataset.g = index;
  return node;
}

/* Shows lines of [group index or null, left text, right text] beside the pointer or the focused mark. */
function tip(lines, place) {
  const box = document.getElementById("tip");
  box.replaceChildren(...lines.map(([index, name, value]) => {
    const left = html("span", index === null ? "title" : "");
    if (index !== null) left.append(html("span", `key c${index % 10}`));
    left.append(name);
    return html("div", "", left, html("span", "", value));
  }));
  box.hidden = false;
  const { width, height } = box.getBoundingClientRect();
  const right = place.x + 16 + width < innerWidth ? place.x + 16 : place.x - 16 - width;
  box.style.transform = `translate(${Math.max(4, right)}px, ${Math.max(4, Math.min(place.y + 12, innerHeight - height - 4))}px)`;
}

function untip() {
  document.getElementById("tip").hidden = true;
  emphasise(null);
}

/* Lets one group stand out of all charts; null: none. */
function emphasise(index) {
  for (const node of document.querySelectorAll(".chart [data-g]"))
    node.classList.toggle("faded", index !== null && node.dataset.g !== String(index));
}

const LOOK = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "opacity",
  "paint-order", "font-family", "font-size", "font-weight"];

/* The chart as a file of its own, which has its looks in it. */
function written(svg) {
  const copy = svg.cloneNode(true);
  const [ours, theirs] = [svg, copy].map((root) => [root, ...root.querySelectorAll("*")]);
  ours.forEach((node, k) => {
    const look = getComputedStyle(node);
    for (const name of LOOK) theirs[k].style.setProperty(name, look.getPropertyValue(name));
  });
  copy.style.background = getComputedStyle(document.body).backgroundColor;
  copy.setAttribute("width", svg.clientWidth);
  return new XMLSerializer().serializeToString(copy);
}

/* A link below a chart that saves it. */
function savable(box) {
  const svg = box.querySelector("svg");
  if (!svg || box.querySelector(".save")) return;
  const link = html("a", "save", "SVG");
  link.href = "#";
  link.download = `${box.id}.svg`;
  link.setAttribute("aria-label", `Save as SVG: ${svg.getAttribute("aria-label")}`);
  link.addEventListener("click", () => { link.href = `data:image/svg+xml,${encodeURIComponent(written(svg))}`; });
  box.append(link);
}

/* A mark that tells its numbers under the pointer and by the keyboard. */
function telling(node, index, lines) {
  node.setAttribute("tabindex", "0");
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", lines.map(([, name, value]) => `${name} ${value}`).join(", "));
  node.addEventListener("pointermove", (event) => { emphasise(index); tip(lines, event); });
  node.addEventListener("focus", () => { emphasise(index); tip(lines, node.getBoundingClientRect()); });
  for (const end of ["pointerleave", "blur"]) node.addEventListener(end, untip);
  return node;
}
