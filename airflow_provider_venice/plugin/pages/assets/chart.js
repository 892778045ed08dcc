// A small chart of the selection: by day as bars, by model as a list.
import { el, hidden, svg } from "./dom.js";
import { count, day, money, plural, span } from "./format.js";

const WIDTH = 560;
const HEIGHT = 104;
const MOST_BARS = 62;
const MOST_MODELS = 5;

const MEASURES = {
  cost: { label: "Dollars", text: (value) => money(value) },
  clips: { label: "Clips", text: (value) => plural(value, "clip") },
};

/** Days without gaps; more days than fit are put together by weeks or more. */
function steps(byDay) {
  const sorted = [...byDay].sort((a, b) => (a.day < b.day ? -1 : 1));
  if (!sorted.length) return [];
  const at = (iso) => Math.round(Date.parse(`${iso}T00:00:00Z`) / 86400000);
  const first = at(sorted[0].day);
  const days = Math.max(at(sorted.at(-1).day) - first + 1, 14);
  const start = at(sorted.at(-1).day) - days + 1;
  const size = days <= MOST_BARS ? 1 : Math.ceil(days / MOST_BARS / 7) * 7;
  const iso = (number) => new Date(number * 86400000).toISOString().slice(0, 10);
  const bars = Array.from({ length: Math.ceil(days / size) }, (_, n) => ({ from: iso(start + n * size), to: iso(Math.min(start + (n + 1) * size, start + days) - 1), clips: 0, seconds: 0, cost: 0 }));
  for (const row of sorted) {
    const bar = bars[Math.floor((at(row.day) - start) / size)];
    for (const key of ["clips", "seconds", "cost"]) bar[key] += row[key] ?? 0;
  }
  return bars;
}

const when = (bar) => (bar.from === bar.to ? day(bar.from, true) : `${day(bar.from)} – ${day(bar.to, true)}`);

function table(head, rows) {
  return el("div.sr-only", {}, el("table", {}, el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((value) => el("td", {}, value)))))));
}

/** A chart. `show(sums)` draws the sums; onDays(from, to) is called when a bar is chosen. */
export function createChart(place, onDays) {
  let sums = null;
  let by = "day";
  let measure = "cost";
  const body = el("div.chart-body");
  const line = el("p.chart-line");

  const toggle = (name, values, current, choose) => el("div.toggle", { role: "group", "aria-label": name },
    Object.entries(values).map(([key, label]) => el("button", { type: "button", "aria-pressed": String(key === current()), onclick: (event) => {
      choose(key);
      for (const one of event.currentTarget.parentElement.children) one.setAttribute("aria-pressed", String(one === event.currentTarget));
      draw();
    } }, label)));

  const drawDays = () => {
    const bars = steps(sums.by_day ?? []);
    const most = Math.max(...bars.map((bar) => bar[measure]), 0);
    const slot = WIDTH / bars.length;
    const thick = Math.max(2, Math.min(22, slot - Math.max(2, slot * 0.22)));
    const words = (bar) => `${when(bar)}: ${money(bar.cost)}, ${plural(bar.clips, "clip")}, ${span(bar.seconds)} of video`;
    const rest = `Most: ${MEASURES[measure].text(most)}`;
    line.textContent = rest;
    const picture = svg("svg", { class: "bars", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    picture.append(svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5, class: "axis" }));
    bars.forEach((bar, n) => {
      const high = most ? (bar[measure] / most) * (HEIGHT - 10) : 0;
      const shape = svg("rect", { class: "bar", x: n * slot + (slot - thick) / 2, y: HEIGHT - Math.max(high, bar.clips ? 2 : 0), width: thick, height: Math.max(high, bar.clips ? 2 : 0), rx: 2 });
      const area = svg("rect", { class: "area", x: n * slot, y: 0, width: slot, height: HEIGHT }, svg("title", {}));
      area.firstChild.textContent = words(bar);
      area.addEventListener("pointerenter", () => (line.textContent = words(bar)));
      area.addEventListener("pointerleave", () => (line.textContent = rest));
      if (bar.clips && onDays) area.addEventListener("click", () => onDays(bar.from, bar.to));
      picture.append(svg("g", { class: bar.clips ? "slot has-clips" : "slot" }, area, shape));
    });
    body.replaceChildren(picture,
      el("div.axis-text", { "aria-hidden": "true" }, el("span", {}, day(bars[0].from)), el("span", {}, day(bars.at(-1).to))),
      table(["Days", "Cost", "Clips", "Video"], bars.filter((bar) => bar.clips).map((bar) => [when(bar), money(bar.cost), count(bar.clips), span(bar.seconds)])));
  };

  const drawModels = () => {
    const all = [...(sums.by_model ?? [])].sort((a, b) => b[measure] - a[measure]);
    const most = Math.max(...all.map((row) => row[measure] ?? 0), 0);
    const others = all.slice(MOST_MODELS);
    line.textContent = others.length ? `and ${plural(others.length, "other model")}: ${MEASURES[measure].text(others.reduce((sum, row) => sum + (row[measure] ?? 0), 0))}` : "";
    const rows = all.slice(0, MOST_MODELS).map((row) => {
      const fill = el("span.fill");
      fill.style.width = `${most ? ((row[measure] ?? 0) / most) * 100 : 0}%`;
      return el("div.model", { "aria-hidden": "true", title: `${money(row.cost)}, ${plural(row.clips, "clip")}, ${span(row.seconds)} of video` },
        el("span.model-name", {}, row.model ?? "unknown"), el("span.model-bar", {}, fill), el("span.model-value", {}, measure === "cost" ? money(row.cost) : count(row.clips)));
    });
    body.replaceChildren(el("div.models", {}, rows), table(["Model", "Cost", "Clips", "Video"], all.map((row) => [row.model ?? "unknown", money(row.cost), count(row.clips), span(row.seconds)])));
  };

  const draw = () => {
    if (!sums) return;
    root.hidden = !sums.clips;
    if (!sums.clips) return;
    if (by === "day") drawDays();
    else drawModels();
  };

  const root = el("section.chart", { "data-testid": "chart", hidden: true }, hidden("Chart of the selection"),
    el("div.chart-head", {},
      toggle("Measure", { cost: "Dollars", clips: "Clips" }, () => measure, (key) => (measure = key)),
      line,
      toggle("Group", { day: "By day", model: "By model" }, () => by, (key) => (by = key))),
    body);
  place.replaceChildren(root);
  let drawn = "";
  return {
    show: (next) => {
      const text = JSON.stringify(next);
      if (text === drawn) return;
      drawn = text;
      sums = next;
      draw();
    },
  };
}
