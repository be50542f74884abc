"use strict";
/* Charts of a sweep: which settings matter, and every configuration as a line through its settings. */

function importance(box, data, metric) {
  const found = data.sweep.importance[metric.name];
  if (!found) return empty(box, "Importance needs at least eight groups with this metric.");
  const left = Math.min(240, box.clientWidth * 0.42), row = 26, height = found.bars.length * row + 62;
  const most = Math.max(0.01, ...found.bars.map(([, share, deviation]) => share + deviation));
  const f = frame(box, { label: "Importance of settings", height, x: [0, most * 1.05], y: [0, 1], xLabel: "", yLabel: "", left });
  f.svg.querySelectorAll(".rule, text[text-anchor=end]").forEach((node) => node.remove());
  f.svg.append(make("text", { x: f.width - f.right, y: height - 4, "text-anchor": "end" },
    `lost R²; on groups it has not seen, the forest ${found.explained > 0 ? `explains R² = ${show(Number(found.explained.toPrecision(2)))}` : "explains nothing: do not rely on it"}`));
  found.bars.forEach(([name, share, deviation], place) => {
    const y = f.top + 8 + place * row, x = f.px(Math.max(0, share));
    f.svg.append(clipped(name, left - 12, y));
    f.svg.append(make("rect", { class: "bar", x: left, y: y - 7, width: Math.max(1, x - left), height: 14, rx: 2 }));
    f.svg.append(make("line", { class: "axis", x1: f.px(Math.max(0, share - deviation)), x2: f.px(share + deviation), y1: y, y2: y }));
  });
}

function parallel(box, data, shown, metric) {
  const known = shown.filter((i) => data.groups[i].values[metric.name]);
  if (!known.length) return empty(box, "No shown group has this metric.");
  const quality = (i) => data.groups[i].values[metric.name].mean;
  const axes = [...data.sweep.names.map((name, k) => ({ name, of: (i) => data.sweep.values[i][k] })), { name: metric.name, of: quality }];
  const width = Math.max(box.clientWidth - 24, axes.length * 110), height = 340, top = 44, bottom = 26;
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "group", "aria-label": "Groups as lines through their settings" });
  svg.style.width = `${width}px`;
  axes.forEach((axis, k) => {
    axis.x = 50 + (k * (width - 110)) / Math.max(1, axes.length - 1);
    axis.place = places(known.map(axis.of), [height - bottom, top]);
  });
  const range = extent(known.map(quality), 0), sign = metric.higher === false ? -1 : 1;
  const order = [...known].sort((a, b) => sign * (quality(a) - quality(b)));
  for (const i of order) {
    const good = range[1] > range[0] ? (quality(i) - range[0]) / (range[1] - range[0]) : 1;
    const points = axes.map((axis) => `${axis.x},${axis.place(axis.of(i))}`).join(" ");
    const line = make("polyline", { class: "way", "data-g": i, points, "stroke-opacity": (0.15 + 0.85 * (sign > 0 ? good : 1 - good) ** 1.5).toFixed(3) });
    svg.append(telling(line, i, [[null, data.groups[i].name, ""], ...axes.map((axis) => [i, axis.name, typeof axis.of(i) === "number" ? show(axis.of(i)) : axis.of(i)])]));
  }
  axes.forEach((axis, k) => {
    svg.append(make("line", { class: "axis", x1: axis.x, x2: axis.x, y1: top, y2: height - bottom }));
    const short = axis.name.length > 20 ? "…" + axis.name.slice(-19) : axis.name;
    svg.append(make("text", { class: "strong", x: axis.x, y: k % 2 ? 30 : 14, "text-anchor": "middle" }, make("title", {}, axis.name), short));
    for (const value of axis.place.ticks) svg.append(make("text", { class: "halo", x: axis.x + 7, y: axis.place(value) + 4 }, typeof value === "number" ? brief(value) : value.split(".").pop().slice(0, 16)));
  });
  box.replaceChildren(svg);
  box.style.overflowX = "auto";
}

/* A setting's axis: numbers by size (by order of magnitude where they span two), names in order. */
function places(values, ends) {
  if (values.every((value) => typeof value === "number")) {
    const low = Math.min(...values), high = Math.max(...values);
    const bend = low > 0 && high / low >= 100 ? Math.log10 : (value) => value;
    const linear = scale(low < high ? [bend(low), bend(high)] : [low - 1, low + 1], ends);
    const place = (value) => linear(bend(value));
    const distinct = [...new Set(values)].sort((a, b) => a - b);
    place.ticks = distinct.filter((value, k) => !k || Math.abs(place(value) - place(distinct[k - 1])) > 15);
    if (place.ticks.length < distinct.length || distinct.length > 8) place.ticks = [low, high];
    return place;
  }
  const names = [...new Set(values.map(String))].sort();
  const linear = scale(names.length > 1 ? [0, names.length - 1] : [-1, 1], ends);
  const place = (value) => linear(names.indexOf(String(value)));
  place.ticks = names.length <= 14 ? names : [];
  return place;
}
