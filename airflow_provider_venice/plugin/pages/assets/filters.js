// The filters of a page. They live in the address, so that a reload keeps them.
import { el, hidden, setText } from "./dom.js";
import { icon } from "./icons.js";
import { pageQuery, queryString } from "./api.js";
import { count } from "./format.js";
import { STATES, stateOf } from "./states.js";

const NAMES = ["search", "dag_id", "run_id", "model", "after", "before"];

/** The filters in the address's hash. */
function fromAddress() {
  const values = pageQuery(window.location.hash.slice(1));
  return { ...Object.fromEntries(NAMES.map((name) => [name, values[name] ?? ""])), state: (values.state ?? "").split(",").filter(Boolean) };
}

/** The filter bar. parts: which filters; onChange() is called after each change. */
export function createFilters(place, { parts, onChange, onRefresh }) {
  const has = (part) => parts.includes(part);
  let values = fromAddress();
  let timer = 0;

  const keep = () => {
    const text = queryString({ ...values, state: values.state.join(",") });
    window.history.replaceState(null, "", text ? `#${text}` : window.location.pathname + window.location.search);
  };

  const set = (changes) => {
    values = { ...values, ...changes };
    keep();
    show();
    onChange();
  };

  const search = el("input.search", { type: "search", placeholder: "Search prompts", "aria-label": "Search in prompts", "data-testid": "search", autocomplete: "off", spellcheck: "false" });
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => set({ search: search.value.trim() }), 250);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    clearTimeout(timer);
    set({ search: search.value.trim() });
  });

  const select = (name, testid, every, label) => el("select", { "data-testid": testid, "data-every": every, "aria-label": label, onchange: (event) => set(name === "dag_id" ? { dag_id: event.target.value, run_id: "" } : { [name]: event.target.value }) });
  const dags = select("dag_id", "select-dag", "All DAGs", "DAG");
  const runs = select("run_id", "select-run", "All runs", "Run");
  const models = select("model", "select-model", "All models", "Model");
  const date = (name, testid, label) => el("label.date", {}, el("span", {}, label), el("input", { type: "date", "data-testid": testid, onchange: (event) => set({ [name]: event.target.value }) }));
  const after = date("after", "date-after", "From");
  const before = date("before", "date-before", "To");
  const chips = el("div.chips", { role: "group", "aria-label": "States" });
  const clear = el("button.button.plain", { type: "button", "data-testid": "clear-filters", hidden: true, onclick: () => clearAll() }, icon("cross", 14), "Clear filters");
  const refresh = el("button.button.plain", { type: "button", "data-testid": "refresh", title: "Look for new clips", onclick: async () => {
    refresh.classList.add("is-busy");
    await onRefresh();
    refresh.classList.remove("is-busy");
  } }, icon("refresh"), el("span.wide", {}, "Refresh"));
  const counter = el("p.count", { "aria-live": "polite", role: "status", "data-testid": "count" });
  const fields = el("div.fields", { id: "fields" }, has("dag") ? [dags, runs] : null, has("model") ? models : null, has("dates") ? [after, before] : null);
  const unfold = el("button.button.unfold", { type: "button", "aria-expanded": "false", "aria-controls": "fields", onclick: () => {
    const open = fields.classList.toggle("is-open");
    unfold.setAttribute("aria-expanded", String(open));
  } }, icon("filter"), "Filters");

  place.className = "filters";
  place.replaceChildren(
    el("div.filter-row", { role: "search" }, has("search") ? el("label.search-box", {}, icon("search"), search) : null,
      fields.childElementCount ? [unfold, fields] : null, el("span.spring"), clear, refresh),
    el("div.filter-row.chip-row", {}, chips, counter));

  const fill = (element, choices, value) => {
    const known = [...new Set(value && !choices.includes(value) ? [value, ...choices] : choices)];
    const text = JSON.stringify([known, value]);
    if (element.dataset.shown === text) return;
    element.dataset.shown = text;
    element.replaceChildren(el("option", { value: "" }, element.dataset.every), ...known.map((one) => el("option", { value: one }, one)));
    element.value = value;
    element.classList.toggle("is-set", Boolean(value));
  };

  let options = { dags: [], runs: [], models: [], states: {} };

  const showChips = () => {
    const names = [...new Set([...Object.keys(STATES), ...Object.keys(options.states ?? {})])];
    for (const name of names) {
      let chip = chips.querySelector(`[data-state="${CSS.escape(name)}"]`);
      if (!chip) {
        chip = el(`button.chip.state-${name}`, { type: "button", "data-state": name, "data-testid": `state-${name}`, onclick: () => {
          const chosen = values.state.includes(name) ? values.state.filter((one) => one !== name) : [...values.state, name];
          set({ state: chosen });
        } }, el("span.dot"), stateOf({ state: name }).label, hidden(": "), el("span.number"));
        chips.append(chip);
      }
      const chosen = values.state.includes(name);
      const number = options.states?.[name] ?? 0;
      chip.setAttribute("aria-pressed", String(chosen));
      chip.hidden = !number && !chosen;
      setText(chip.querySelector(".number"), count(number));
    }
  };

  const isSet = () => NAMES.some((name) => values[name]) || values.state.length > 0;

  const show = () => {
    if (document.activeElement !== search) search.value = values.search;
    fill(dags, options.dags ?? [], values.dag_id);
    fill(runs, options.runs ?? [], values.run_id);
    runs.hidden = !values.dag_id;
    fill(models, options.models ?? [], values.model);
    for (const [label, name] of [[after, "after"], [before, "before"]]) {
      const input = label.querySelector("input");
      if (input.value !== values[name]) input.value = values[name];
      label.classList.toggle("is-set", Boolean(values[name]));
    }
    clear.hidden = !isSet();
    unfold.classList.toggle("is-set", ["dag_id", "run_id", "model", "after", "before"].some((name) => values[name]));
    showChips();
  };

  const clearAll = () => {
    clearTimeout(timer);
    search.value = "";
    set({ ...Object.fromEntries(NAMES.map((name) => [name, ""])), state: [] });
  };

  window.addEventListener("hashchange", () => {
    values = fromAddress();
    show();
    onChange();
  });
  new IntersectionObserver(([entry]) => place.classList.toggle("is-stuck", entry.intersectionRatio < 1), { threshold: [1], rootMargin: "-1px 0px 0px" }).observe(place);
  show();

  return {
    counter, isSet, clear: clearAll, set,
    query: () => ({ ...Object.fromEntries(NAMES.filter((name) => values[name]).map((name) => [name, values[name]])), state: values.state }),
    setOptions: (next) => {
      options = next ?? options;
      show();
    },
  };
}

/** Nothing matches. */
export function emptySelection(onClear) {
  return el("div.empty", { "data-testid": "empty", "data-kind": "selection" }, el("span.empty-icon", {}, icon("search", 24)),
    el("h2", {}, "No clip matches"), el("p", {}, "Try fewer filters, or a longer time."),
    onClear ? el("button.button", { type: "button", onclick: onClear }, "Clear filters") : null);
}
