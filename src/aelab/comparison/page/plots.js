"use strict";
/* The charts. Each takes its box, the page's data, the indices of the shown groups and what is chosen. */

const named = (metric) => metric.name + (metric.unit ? `, ${metric.unit}` : "");

function empty(box, sentence) {
  box.replaceChildren(html("p", "quiet", sentence));
}

/* Those within three quartile ranges of the quartiles by every measure, where the reader asks for that; and the others. */
function fenced(data, known, ...measures) {
  const inside = !data.fenced ? known : known.filter((i) => measures.every((of) => {
    const sorted = known.map(of).sort((a, b) => a - b), at = (part) => sorted[Math.round((sorted.length - 1) * part)];
    const range = 3 * (at(0.75) - at(0.25));
    return of(i) >= at(0.25) - range && of(i) <= at(0.75) + range;
  }));
  return [inside, known.filter((i) => !inside.includes(i))];
}

function leftOut(box, data, outside) {
  if (outside.length) box.append(html("p", "outside", "Not drawn, as outliers: " + outside.map((i) => data.groups[i].name).join(", ")));
}

function forest(box, data, shown, metric) {
  const sign = metric.higher === true ? -1 : 1;
  const of = (i) => data.groups[i].values[metric.name];
  const [known, outside] = fenced(data, shown.filter(of), (i) => of(i).mean);
  if (!known.length) return empty(box, "No shown group has this metric.");
  known.sort((a, b) => sign * (of(a).mean - of(b).mean));
  const left = Math.min(210, box.clientWidth * 0.36), row = 24, height = known.length * row + 66;
  const x = extent(known.flatMap((i) => [of(i).low, of(i).high, ...of(i).seeds]));
  const f = frame(box, { label: `${metric.name} by group`, height, x, y: [0, 1], xLabel: named(metric), yLabel: "", left });
  f.svg.querySelectorAll(".rule, text[text-anchor=end]").forEach((node) => node.remove());
  f.svg.append(make("text", { x: f.width - f.right, y: height - 4, "text-anchor": "end" }, named(metric)));
  const base = data.groups.findIndex((group) => group.name === data.baseline);
  if (known.includes(base)) f.svg.append(make("line", { class: "reference", x1: f.px(of(base).mean), x2: f.px(of(base).mean), y1: f.top - 6, y2: height - f.bottom }));
  known.forEach((i, place) => {
    const y = f.top + 8 + place * row;
    const row_ = make("g", { "data-g": i, class: `c${i % 10}` });
    row_.append(make("rect", { x: 0, y: y - row / 2, width: f.width, height: row, fill: "transparent" }));
    row_.append(clipped(data.groups[i].name, left - 12, y));
    row_.append(make("line", { class: "range", x1: f.px(of(i).low), x2: f.px(of(i).high), y1: y, y2: y }));
    for (const value of of(i).seeds) row_.append(make("circle", { class: "seed", cx: f.px(value), cy: y, r: 3 }));
    row_.append(mark(i, f.px(of(i).mean), y, 5));
    f.svg.append(telling(row_, i, [[null, data.groups[i].name, ""], [i, "mean", show(of(i).mean)],
      [i, "interval", `${show(of(i).low)} to ${show(of(i).high)}`], [i, "seeds", String(of(i).seeds.length)]]));
  });
  leftOut(box, data, outside);
}

/* A name that ends at x, cut to what fits: to its head, or to its tail. */
function clipped(name, x, y, cut = head) {
  const text = cut(name, Math.max(6, Math.floor(x / 6.6)));
  return make("text", { class: "strong", x, y: y + 4, "text-anchor": "end" }, make("title", {}, name), text);
}

function curves(box, data, shown, name, bands) {
  const of = (i) => data.groups[i].curves[name];
  const [known, outside] = fenced(data, shown.filter(of), (i) => of(i)[1].at(-1));
  if (!known.length) return empty(box, "No shown group has logged this.");
  const later = known.flatMap((i) => of(i).slice(bands ? 2 : 1).flatMap((line) => line.slice(line.length > 4 ? Math.ceil(line.length * 0.04) : 0)));
  const x = extent(known.flatMap((i) => of(i)[0]), 0);
  const height = Math.min(440, Math.max(300, box.clientWidth * 0.45));
  const f = frame(box, { label: `${name} over steps; arrow keys move along`, height, x, y: extent(later), xLabel: "step", yLabel: name });
  const clip = make("clipPath", { id: "curve-clip" }, make("rect", { x: f.left, y: f.top, width: f.width - f.left - f.right, height: height - f.top - f.bottom }));
  const inner = make("g", { "clip-path": "url(#curve-clip)" });
  f.svg.append(clip, inner);
  const path = (xs, ys) => xs.map((step, k) => `${f.px(step).toFixed(1)},${f.py(ys[k]).toFixed(1)}`);
  if (bands) for (const i of known) {
    const [steps, , low, high] = of(i);
    inner.append(make("polygon", { class: `band c${i % 10}`, "data-g": i, points: [...path(steps, high), ...path(steps, low).reverse()].join(" ") }));
  }
  for (const i of known) inner.append(make("polyline", { class: `line c${i % 10} d${Math.floor(i / 10) % 4}`, "data-g": i, points: path(of(i)[0], of(i)[1]).join(" ") }));
  explore(f, known, data, of);
  leftOut(box, data, outside);
}

/* A cursor over the curves: by the pointer, and by the arrow keys. */
function explore(f, known, data, of) {
  const cursor = make("line", { class: "reference", y1: f.top, y2: f.height - f.bottom, visibility: "hidden" });
  f.svg.append(cursor);
  const every = [...new Set(known.flatMap((i) => of(i)[0]))].sort((a, b) => a - b);
  let at = every.length - 1;
  const move = (place, level) => {
    const step = every[at], px = f.px(step);
    cursor.setAttribute("x1", px); cursor.setAttribute("x2", px); cursor.setAttribute("visibility", "visible");
    const found = known.map((i) => [i, interpolated(of(i)[0], of(i)[1], step)]).filter(([, value]) => value !== null);
    found.sort((a, b) => Math.abs(a[1] - level) - Math.abs(b[1] - level));
    const near = found.slice(0, 10).sort((a, b) => b[1] - a[1]);
    tip([[null, `step ${show(step)}`, found.length > 10 ? "nearest ten" : ""], ...near.map(([i, value]) => [i, data.groups[i].name, show(value)])], place);
  };
  const leave = () => { cursor.setAttribute("visibility", "hidden"); untip(); };
  f.svg.setAttribute("tabindex", "0");
  f.svg.addEventListener("pointermove", (event) => {
    const box = f.svg.getBoundingClientRect(), step = f.px.inverse(event.clientX - box.left);
    at = every.reduce((best, value, k) => (Math.abs(value - step) < Math.abs(every[best] - step) ? k : best), 0);
    move(event, f.py.inverse(event.clientY - box.top));
  });
  f.svg.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    at = Math.max(0, Math.min(every.length - 1, at + by));
    const box = f.svg.getBoundingClientRect();
    move({ x: box.left + f.px(every[at]), y: box.top + 40 }, 0);
  });
  f.svg.addEventListener("pointerleave", leave);
  f.svg.addEventListener("blur", leave);
}

function interpolated(xs, ys, x) {
  const k = xs.findIndex((value) => value >= x);
  if (k < 0 || x < xs[0]) return null;
  if (k === 0 || xs[k] === x) return ys[k];
  return ys[k - 1] + ((ys[k] - ys[k - 1]) * (x - xs[k - 1])) / (xs[k] - xs[k - 1]);
}

/* Points (group, x, y, seeds' [x, y]) with their names where there is room. */
function scatter(box, data, points, { label, xLabel, yLabel, diagonals, front }) {
  if (!points.length) return empty(box, "No shown group has both.");
  const xs = points.flatMap((p) => [p.x, ...p.seeds.map((s) => s[0])]), ys = points.flatMap((p) => [p.y, ...p.seeds.map((s) => s[1])]);
  const height = Math.min(520, Math.max(320, box.clientWidth * 0.52));
  const f = frame(box, { label, height, x: extent(xs, 0.09), y: extent(ys, 0.09), xLabel, yLabel });
  if (diagonals) sums(f, extent(xs, 0.09), extent(ys, 0.09));
  if (front?.length > 1) f.svg.append(make("polyline", { class: "front", points: front.map((p) => `${f.px(p.x)},${f.py(p.y)}`).join(" ") }));
  for (const p of points) for (const [x, y] of p.seeds) f.svg.append(make("circle", { class: `seed c${p.i % 10}`, "data-g": p.i, cx: f.px(x), cy: f.py(y), r: 2.2 }));
  const taken = points.map((p) => [f.px(p.x) - 7, f.py(p.y) - 7, 14, 14]);
  for (const p of points) {
    f.svg.append(telling(mark(p.i, f.px(p.x), f.py(p.y), 6), p.i, [[null, data.groups[p.i].name, ""], [p.i, xLabel, show(p.x)], [p.i, yLabel, show(p.y)]]));
    label_(f, taken, p, data.groups[p.i].name);
  }
}

/* A name beside its point, on the first side where it covers nothing; else nowhere, as the tip has it. */
function label_(f, taken, p, name) {
  const text = name.length > 28 ? name.slice(0, 27) + "…" : name, wide = text.length * 6.4;
  const sides = [[10, 4, "start"], [-10, 4, "end"], [0, -11, "middle"], [0, 20, "middle"]];
  for (const [dx, dy, anchor] of p.above ? [sides[2], sides[3], ...sides] : sides) {
    const x = f.px(p.x) + dx, y = f.py(p.y) + dy;
    const room = [anchor === "end" ? x - wide : anchor === "middle" ? x - wide / 2 : x, y - 11, wide, 14];
    const inside = room[0] > f.left && room[0] + wide < f.width && room[1] > f.top && y < f.height - f.bottom;
    const clear = taken.every((t) => room[0] > t[0] + t[2] || t[0] > room[0] + room[2] || room[1] > t[1] + t[3] || t[1] > room[1] + room[3]);
    if (!inside || !clear) continue;
    taken.push(room);
    f.svg.append(make("text", { class: "strong halo", x, y, "text-anchor": anchor, "data-g": p.i }, text));
    return;
  }
}

/* Lines on which x + y is the same. */
function sums(f, [x0, x1], [y0, y1]) {
  for (const sum of ticks([x0 + y0, x1 + y1], 7)) {
    const a = Math.max(x0, sum - y1), b = Math.min(x1, sum - y0);
    if (a < b) f.svg.append(make("line", { class: "rule", x1: f.px(a), y1: f.py(sum - a), x2: f.px(b), y2: f.py(sum - b) }));
  }
}

function plane(box, data, shown) {
  const known = shown.filter((i) => data.groups[i].plane.length);
  const mean = (axis) => (i) => data.groups[i].plane.reduce((sum, seed) => sum + seed[axis], 0) / data.groups[i].plane.length;
  const [inside, outside] = fenced(data, known, mean(0), mean(1));
  const points = inside.map((i) => ({ i, x: mean(0)(i), y: mean(1)(i), seeds: data.groups[i].plane }));
  const [xLabel, yLabel] = data.plane.map((name) => `${name}, nats`);
  scatter(box, data, points, { label: "Rate against distortion", xLabel, yLabel, diagonals: true });
  leftOut(box, data, outside);
}

function cost(box, data, shown, resource, metric) {
  const known = shown.filter((i) => data.groups[i].cost[resource] !== undefined && data.groups[i].values[metric.name]);
  const [inside, outside] = fenced(data, known, (i) => data.groups[i].cost[resource], (i) => data.groups[i].values[metric.name].mean);
  const points = inside.map((i) => ({ i, x: data.groups[i].cost[resource], y: data.groups[i].values[metric.name].mean, seeds: [] }));
  const better = metric.higher ? (a, b) => a > b : (a, b) => a < b;
  const front = [];
  for (const p of [...points].sort((a, b) => a.x - b.x || (better(a.y, b.y) ? -1 : 1)))
    if (!front.length || better(p.y, front.at(-1).y)) front.push(p);
  for (const p of front) p.above = true;
  scatter(box, data, points, { label: "Quality against cost", xLabel: data.costs[resource], yLabel: named(metric), front });
  leftOut(box, data, outside);
}
