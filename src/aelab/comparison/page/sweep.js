"use strict";
/* Charts of a sweep: which settings matter, and every configuration as a line through its settings. */

function importance(box, data, metric) {
  const found = data.sweep.importance[metric.name];
  if (!found) return empty(box, "Importance needs at least eight groups with this metric.");
  const left = Math.min(240, box.clientWidth * 0.42), row = 26, height = found.bars.length * row + 62;
  const most = Math.max(0.01, ...found.bars.map(([, share, deviation]) => share + deviation));
  const f = frame(box, { label: "Importance of settings", height, x: [0, most * 1.05], y: [0, 1], xLabel: "", yLabel: "", left });
  f.svg.querySelectorAll(".rule, text[text-anchor=end]").forEach((node) => node.remove());
  f.svg.append(make("text", { x: f.width - f.right, y: height - 4, "text-anchor": "end" }, "share of the variance"));
  const told = found.explained > 0 ? `explains R² = ${show(Number(found.explained.toPrecision(2)))}.` : "explains nothing: do not rely on it.";
  box.append(html("p", "said", `On groups that it has not seen, the forest ${told}`));
  found.bars.forEach(([name, share, deviation], place) => {
    const y = f.top + 8 + place * row, x = f.px(Math.max(0, share));
    f.svg.append(clipped(name, left - 12, y, tail));
    f.svg.append(make("rect", { class: "bar", x: left, y: y - 7, width: Math.max(1, x - left), height: 14, rx: 2 }));
    f.svg.append(make("line", { class: "axis", x1: f.px(Math.max(0, share - deviation)), x2: f.px(share + deviation), y1: y, y2: y }));
  });
}

function parallel(box, data, shown, metric) {
  const height = 320, top = 32, bottom = 16;
  const known = shown.filter((i) => data.groups[i].values[metric.name]);
  if (!known.length) return empty(box, "No shown group has this metric.");
  const quality = (i) => data.groups[i].values[metric.name].mean;
  const axes = [...data.sweep.names.map((name, k) => ({ name, of: (i) => data.sweep.values[i][k] })), { name: metric.name, of: quality }];
  axes.forEach((axis) => {
    axis.place = places(known.map(axis.of), [height - bottom, top]);
    axis.ticks = axis.place.ticks.map((value) => [value, typeof value === "number" ? brief(value) : head(value, 24)]);
    axis.short = tail(axis.name, 32);
    axis.room = Math.max(90, ...[axis.short, ...axis.ticks.map(([, text]) => text)].map((text) => wide(text, box))) + 24;
  });
  /* Each axis has a column as wide as its words, so that none runs into the next. */
  const least = axes.reduce((sum, axis) => sum + axis.room, 0), width = Math.max(box.clientWidth - 24, least);
  axes.reduce((x, axis) => { axis.x = x; return x + (axis.room * width) / least; }, 2);
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "group", "aria-label": "Groups as lines through their settings" });
  svg.style.width = `${width}px`;
  const range = extent(known.map(quality), 0), sign = metric.higher === false ? -1 : 1;
  const order = [...known].sort((a, b) => sign * (quality(a) - quality(b)));
  for (const i of order) {
    const good = range[1] > range[0] ? (quality(i) - range[0]) / (range[1] - range[0]) : 1;
    const points = axes.map((axis) => `${axis.x},${axis.place(axis.of(i))}`).join(" ");
    const line = make("polyline", { class: "way", "data-g": i, points, "stroke-opacity": (0.15 + 0.85 * (sign > 0 ? good : 1 - good) ** 1.5).toFixed(3) });
    svg.append(telling(line, i, [[null, data.groups[i].name, ""], ...axes.map((axis) => [i, axis.name, typeof axis.of(i) === "number" ? show(axis.of(i)) : axis.of(i)])]));
  }
  for (const axis of axes) {
    svg.append(make("line", { class: "axis", x1: axis.x, x2: axis.x, y1: top, y2: height - bottom }));
    svg.append(make("text", { class: "strong", x: axis.x - 1, y: 14 }, make("title", {}, axis.name), axis.short));
    for (const [value, text] of axis.ticks)
      svg.append(make("text", { class: "halo", x: axis.x + 7, y: axis.place(value) + 4 }, make("title", {}, String(value)), text));
  }
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
