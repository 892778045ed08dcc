// The grid of clips: pages on scrolling, refreshes of what is unfinished, new clips on top.
import { el, setText } from "./dom.js";
import { icon } from "./icons.js";
import { getClips } from "./api.js";
import { createCard, moveWithArrows } from "./cards.js";
import { plural } from "./format.js";
import { createRefresher } from "./refresh.js";

const PAGE = 60;

/**
 * A feed. options: { place, query() -> filters, where, onOpen(id), onAnswer(answer), onError(error | null, retry),
 * isOpen() -> whether a clip is shown large, order(clips) -> clips, pageSize, dense }
 */
export function createFeed(options) {
  const page = options.pageSize ?? PAGE;
  const cards = new Map();
  const listeners = [];
  let total = 0;
  let run = 0; // counts selections; answers of an earlier one are dropped
  let loading = null;
  let abort = null;
  let ended = true;
  let fresh = [];

  const grid = el(`div.grid${options.dense ? ".dense" : ""}`, { "data-testid": "grid", role: "feed", "aria-label": "Clips", "aria-busy": "false" });
  const pill = el("button.pill", { type: "button", hidden: true, "data-testid": "new-clips", onclick: () => showFresh() });
  const end = el("div.end", { "aria-hidden": "true" });
  options.place.replaceChildren(pill, grid, end);
  moveWithArrows(grid);

  const ids = () => [...cards.keys()];
  const get = (id) => cards.get(id)?.clip();
  const makeCard = (clip) => createCard(clip, { where: options.where, onOpen: options.onOpen });

  const put = (clip, before = null) => {
    if (cards.has(clip.id)) {
      change(clip);
      return;
    }
    const card = makeCard(clip);
    cards.set(clip.id, card);
    grid.insertBefore(card.root, before);
  };

  const change = (clip) => {
    cards.get(clip.id)?.update(clip);
    for (const listener of listeners) listener(clip);
  };

  const empty = () => {
    for (const card of cards.values()) card.remove();
    cards.clear();
    refresher.forget();
    setFresh([]);
  };

  const setFresh = (clips) => {
    fresh = clips;
    pill.hidden = !clips.length;
    pill.replaceChildren(icon("up", 14), plural(clips.length, "new clip"));
  };

  /** Put new clips first; the cards that are there are not touched. */
  const showFresh = (scroll = true) => {
    const clips = fresh;
    setFresh([]);
    const first = grid.firstElementChild;
    for (const clip of clips) put(clip, first);
    grid.hidden = !cards.size;
    const older = [...cards].filter(([id]) => !clips.some((clip) => clip.id === id));
    const newer = clips.map((clip) => [clip.id, cards.get(clip.id)]);
    cards.clear();
    for (const [id, card] of [...newer, ...older]) cards.set(id, card);
    if (scroll) window.scrollTo({ top: 0 });
  };

  /** The next page, or the first one of a new selection. */
  const load = async (first) => {
    const mine = run;
    abort = new AbortController();
    grid.setAttribute("aria-busy", "true");
    grid.hidden = false;
    if (first && !cards.size) showSkeletons();
    try {
      const answer = await getClips({ ...options.query(), limit: page, offset: first ? 0 : cards.size + fresh.length }, abort.signal);
      if (mine !== run) return;
      if (first) {
        empty();
        grid.replaceChildren();
      }
      const before = cards.size;
      for (const clip of options.order?.(answer.clips) ?? answer.clips) put(clip);
      total = answer.total;
      ended = cards.size + fresh.length >= total || !answer.clips.length || (!first && cards.size === before);
      options.onError(null);
      options.onAnswer(answer, first);
    } catch (error) {
      if (error.name === "AbortError" || mine !== run) return;
      ended = true; // until a person asks again
      if (first) grid.querySelectorAll(".skeleton").forEach((one) => one.remove());
      options.onError(error, () => (first ? reload() : resume()));
    } finally {
      if (mine === run) {
        loading = null;
        grid.hidden = !cards.size; // a feed without a card means nothing to a screen reader
        grid.setAttribute("aria-busy", "false");
        grid.classList.remove("is-stale");
        if (!ended) lookAtEnd();
      }
    }
  };

  const showSkeletons = () => {
    grid.replaceChildren(...Array.from({ length: 12 }, () => el("div.skeleton", { "aria-hidden": "true" }, el("span.media"), el("span.line"), el("span.line.short"))));
  };

  const more = () => {
    if (!loading && !ended) loading = load(false);
    return loading;
  };

  const resume = () => {
    ended = false;
    return more();
  };

  /** A new selection. What is shown stays until the answer is here. */
  const reload = () => {
    run += 1;
    abort?.abort();
    ended = true;
    grid.classList.toggle("is-stale", cards.size > 0);
    loading = load(true);
    return loading;
  };

  const watcher = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && more(), { rootMargin: "1200px 0px" });

  /** The observer only tells of changes: start it again where the end may be in sight already. */
  const lookAtEnd = () => {
    watcher.unobserve(end);
    watcher.observe(end);
  };

  /** Look for clips that are new. They are put on top at once only where the top is what one looks at. */
  const look = async () => {
    const mine = run;
    const answer = await getClips({ ...options.query(), limit: page });
    if (mine !== run) return;
    for (const clip of answer.clips) if (cards.has(clip.id)) change(clip);
    total = answer.total;
    const unknown = answer.clips.filter((clip) => !cards.has(clip.id));
    const oldest = ended ? 0 : Math.min(...[...cards.values()].map((card) => card.clip().time));
    setFresh(unknown.filter((clip) => clip.time > oldest)); // older ones come with their page
    if (window.scrollY < 160 && !options.isOpen()) showFresh(false);
    options.onError(null);
    options.onAnswer(answer, true);
  };

  const again = async () => {
    try {
      await look();
      refresher.soon();
    } catch (error) {
      options.onError(error, again);
    }
  };

  const refresher = createRefresher({ cards, change, look, isBusy: () => loading, onError: (error) => options.onError(error, error && again) });

  setInterval(() => !document.hidden && cards.forEach((card) => card.tick()), 30_000);

  return {
    ids, get, more, reload, grid,
    look: again,
    total: () => total,
    hasMore: () => !ended,
    onUpdate: (listener) => listeners.push(listener),
    focus: (id) => cards.get(id)?.root.focus({ focusVisible: false }),
  };
}

/** The banner of an error, or nothing. */
export function showBanner(place, error, retry) {
  if (!error) {
    place.replaceChildren();
    return;
  }
  if (place.dataset.text === error.message && place.childElementCount) return;
  place.dataset.text = error.message;
  const button = error.status === 401
    ? el("button.button", { type: "button", onclick: () => window.location.reload() }, "Reload")
    : retry && el("button.button", { type: "button", "data-testid": "retry", onclick: () => retry() }, icon("refresh"), "Try again");
  place.replaceChildren(el("div.banner", { role: "alert", "data-testid": "error-banner" }, icon("warning", 20),
    el("div", {}, el("strong", {}, error.message), el("p", {}, error.advice ?? "")), button || null));
}

/** How many clips are shown, for people and screen readers. */
export function showCount(element, answer) {
  const text = plural(answer.total, "clip");
  setText(element, answer.is_complete === false ? `${text} – only the newest are counted; choose fewer days` : text);
}
