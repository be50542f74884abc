"use strict";
/* What a reader can do: choose groups and metrics, sort, enlarge. One state, `hidden` and `query`, for all of it. */

const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const hidden = new Set();
let query = "";
const matches = (i) => data.groups[i].name.toLowerCase().includes(query);
const shown = () => data.groups.map((_, i) => i).filter((i) => !hidden.has(i) && matches(i));
const metricOf = (id) => data.metrics.find((metric) => metric.name === at(id).value);

function options(id, names, label = (name) => name) {
  at(id).replaceChildren(...names.map((name) => new Option(label(name), name)));
  at(id).addEventListener("change", draw);
}

function draw() {
  const now = shown();
  untip();
  data.fenced = at("fences").checked;
  if (data.metrics.length) forest(at("forest"), data, now, metricOf("forest-metric"));
  if (data.curves.length) curves(at("curve"), data, now, at("curve-metric").value, at("curve-bands").checked);
  if (data.plane) plane(at("plane-chart"), data, now);
  if (costs.length && directed.length) cost(at("cost-chart"), data, now, at("cost-x").value, metricOf("cost-y"));
  if (data.sweep && directed.length) {
    importance(at("importance"), data, metricOf("sweep-metric"));
    parallel(at("parallel"), data, now, metricOf("sweep-metric"));
  }
  for (const box of document.querySelectorAll(".chart")) savable(box);
}

function update() {
  const now = new Set(shown()), names = new Set([...now].map((i) => data.groups[i].name));
  for (const row of document.querySelectorAll("tr[data-group]")) row.hidden = !now.has(Number(row.dataset.group));
  for (const figure of document.querySelectorAll("figure[data-name]")) figure.hidden = !names.has(figure.dataset.name);
  for (const key of at("legend").children) {
    key.hidden = !matches(Number(key.dataset.key));
    key.setAttribute("aria-pressed", String(!hidden.has(Number(key.dataset.key))));
  }
  at("count").textContent = `${now.size} of ${data.groups.length}`;
  draw();
}

function legend() {
  at("legend").append(...data.groups.map((group, i) => {
    const key = html("button", "", swatch(i), html("span", "", group.name));
    key.type = "button";
    key.title = group.name;
    key.dataset.key = i;
    key.addEventListener("click", () => { hidden.delete(i) || hidden.add(i); update(); });
    key.addEventListener("pointerenter", () => emphasise(i));
    key.addEventListener("pointerleave", () => emphasise(null));
    return key;
  }));
  at("filter").addEventListener("input", () => { query = at("filter").value.trim().toLowerCase(); update(); });
  at("all").addEventListener("click", () => { hidden.clear(); update(); });
  at("none").addEventListener("click", () => { data.groups.forEach((_, i) => matches(i) && hidden.add(i)); update(); });
}

function swatch(i) {
  const svg = make("svg", { width: 26, height: 12, "aria-hidden": "true" });
  svg.append(make("line", { class: `line c${i % 10} d${Math.floor(i / 10) % 4}`, x1: 0, x2: 26, y1: 6, y2: 6 }));
  const shape = mark(i, 13, 6, 4);
  delete shape.dataset.g;
  svg.append(shape);
  return svg;
}

/* Buttons that show one of many blocks at a time. */
function tabs(id, blocks, name) {
  if (blocks.length < 2) return;
  const choose = (chosen) => blocks.forEach((block, k) => {
    block.hidden = block !== chosen;
    at(id).children[k].setAttribute("aria-pressed", String(block === chosen));
  });
  at(id).append(...blocks.map((block) => {
    const button = html("button", "", name(block));
    button.type = "button";
    button.addEventListener("click", () => choose(block));
    return button;
  }));
  choose(blocks[0]);
}

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const numeric = head.classList.contains("number");
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => order(a.cells[column], b.cells[column], numeric, down)));
  }));
}

/* Cells without a value come last, whichever way the others go. */
function order(a, b, numeric, down) {
  const [x, y] = [a, b].map((cell) => cell.dataset.sort ?? (cell.classList.contains("none") ? "" : cell.textContent.trim()));
  if (x === "" || y === "") return (x === "") - (y === "");
  return (down ? -1 : 1) * (numeric ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true }));
}

function enlarging() {
  for (const button of document.querySelectorAll(".enlarge")) {
    const image = button.firstElementChild;
    image.classList.toggle("tiny", image.naturalWidth < 400);
    button.addEventListener("click", () => {
      const large = at("large").querySelector("img");
      large.src = image.src;
      large.alt = image.alt;
      large.className = image.width > image.naturalWidth / 1.5 ? "tiny" : "";
      at("large").querySelector("p").textContent = image.alt;
      at("large").showModal();
    });
  }
  at("large").addEventListener("click", (event) => event.target === at("large") && at("large").close());
}

/* The contents follow what is read. */
function contents() {
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries)
      if (isIntersecting) links.forEach((link, id) => link.classList.toggle("here", id === target.id));
  }, { rootMargin: "-15% 0px -75% 0px" });
  document.querySelectorAll("section").forEach((section) => watch.observe(section));
}

/* Takes away what has nothing to show. */
function absent(id) {
  at(id).remove();
  document.querySelector(`nav a[href="#${id}"]`)?.remove();
}

const directed = data.metrics.filter((metric) => metric.higher !== null).map((metric) => metric.name);
const costs = Object.keys(data.costs).filter((name) => data.groups.some((group) => group.cost[name] !== undefined));
options("forest-metric", [...directed, ...data.metrics.map((metric) => metric.name).filter((name) => !directed.includes(name))]);
options("curve-metric", data.curves);
options("cost-x", costs, (name) => data.costs[name]);
options("cost-y", directed);
options("sweep-metric", directed);
for (const id of ["curve-bands", "fences"]) at(id).addEventListener("change", draw);
legend();
tabs("families", [...document.querySelectorAll(".family")], (block) => block.dataset.family);
tabs("kinds", [...document.querySelectorAll(".kind")], (block) => block.dataset.kind);
document.querySelectorAll(".sortable").forEach(sortable);
enlarging();
if (!data.metrics.length) absent("metric");
if (!data.curves.length) absent("curves");
if (!data.plane) absent("plane");
if (!costs.length || !directed.length) absent("cost");
if (!data.sweep || !directed.length) absent("sweep");
if (innerWidth <= 900) at("chooser").open = false;
contents();
update();
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
document.documentElement.dataset.ready = "yes";
