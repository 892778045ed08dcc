// A card: article.card with data-clip-id and data-state. Within it data-testid: play-area, progressbar, price, prompt.
// Around it: search, state-<state>, select-dag|run|model, date-after|before, clear-filters, refresh, count, sum-clips|seconds|cost|refunded, chart, viewer, download, empty, error-banner.
import { el, hidden, setText } from "./dom.js";
import { icon } from "./icons.js";
import { ago, exact, money, runName } from "./format.js";
import { isPlayable, placeholder } from "./placeholder.js";
import { addFilm, calmMotion, isPlaying, pause, play, removeFilm } from "./player.js";
import { copyButton, dagPath, runPath, shellLink, taskPath } from "./shell.js";
import { stateOf } from "./states.js";

/** The state as a badge. */
export function stateBadge(clip) {
  const state = stateOf(clip);
  return el(`span.badge.state-${clip.state}`, { title: state.text }, el("span.dot"), state.label);
}

/** "Refunded" or "Not refunded", where it is known. */
export function refundBadge(clip) {
  if (clip.is_refunded === true) return el("span.badge.refunded", {}, "Refunded");
  if (clip.is_refunded === false) return el("span.badge.not-refunded", {}, "Not refunded");
  return null;
}

/** "Reused", for a clip that was there before its run. */
export function reusedBadge(clip) {
  return clip.is_reused ? el("span.badge.reused", { title: "It was there already, of the same request. Nothing was paid." }, "Reused") : null;
}

/** What may help a clip that was refused. */
export function suggestions(clip) {
  const rows = [];
  if (clip.suggested_prompt) {
    rows.push(el("div.hint", {}, el("span.hint-name", {}, "Suggested prompt"), el("span.hint-text", { title: clip.suggested_prompt }, clip.suggested_prompt), copyButton(clip.suggested_prompt, "the suggested prompt")));
  }
  if (clip.recommended_model) {
    rows.push(el("div.hint", {}, el("span.hint-name", {}, "Recommended model"), el("code.hint-text", { title: clip.recommended_model }, clip.recommended_model), copyButton(clip.recommended_model, "the recommended model")));
  }
  return rows;
}

/**
 * A card, which is updated in place.
 * options: { where: "all" | "dag" | "run" | "none" – which links it has, onOpen(id) }
 */
export function createCard(first, { where, onOpen }) {
  let clip = first;
  let seen = JSON.stringify(first);
  let holder = null;
  const root = el("article.card", { tabindex: 0, "data-clip-id": clip.id });
  const media = el("div.media", { "data-testid": "play-area" });
  const time = el("time.time");
  let body = el("div.body");
  root.append(media, body);

  const fillMedia = () => {
    holder = isPlayable(clip) ? null : placeholder(clip);
    const open = el("button.open", { type: "button", tabindex: -1 }, hidden(`Open clip: ${clip.prompt ?? clip.label}`));
    const parts = [open];
    if (holder) parts.push(holder.element);
    else parts.push(el("span.glyph", {}, icon("play", 20)), el("span.broken", {}, icon("film", 20), "The film does not load"));
    parts.push(el("div.corner.corner-start", {}, stateBadge(clip), clip.state === "failed" ? refundBadge(clip) : reusedBadge(clip)));
    if (clip.duration) parts.push(el("span.corner.corner-end.length", {}, clip.duration));
    media.replaceChildren(...parts);
    media.classList.toggle("is-film", !holder);
    media.classList.toggle("is-wide", clip.aspect_ratio === "16:9");
    if (!holder) addFilm(media, clip.stream);
  };

  const fillBody = () => {
    const facts = [clip.model, clip.resolution, clip.aspect_ratio && clip.aspect_ratio !== "16:9" ? clip.aspect_ratio : null].filter(Boolean).join(" · ");
    const price = money(clip.cost);
    const links = [];
    if (where === "all") links.push(shellLink(dagPath(clip), clip.dag_id, { title: `DAG ${clip.dag_id}` }));
    if (where === "all" || where === "dag") links.push(shellLink(runPath(clip), runName(clip.run_id), { title: `Run ${clip.run_id}` }));
    if (where === "run") links.push(shellLink(taskPath(clip), clip.label ?? clip.task_id));
    if (where === "none" && Number.isInteger(clip.position)) links.push(el("span.quiet", { title: "Position in the task" }, `#${clip.position}`));
    time.dateTime = new Date(clip.time * 1000).toISOString();
    time.title = exact(clip.time);
    const next = el("div.body", {},
      el("p.prompt", { title: clip.prompt, "data-testid": "prompt" }, clip.prompt ?? el("span.quiet", {}, "No prompt")),
      el("div.row", {}, el("span.facts-line", { title: facts }, facts || hidden("Unknown model")),
        price ? el(`span.price${clip.is_refunded ? ".is-refunded" : ""}`, { "data-testid": "price", title: clip.is_refunded ? "Refunded" : "Price" }, price) : null),
      suggestions(clip),
      el("div.row.foot", {}, el("span.links", {}, links), time));
    body.replaceWith(next);
    body = next;
  };

  const describe = () => {
    root.dataset.state = clip.state;
    root.setAttribute("aria-label", [stateOf(clip).label, clip.duration, clip.prompt ?? clip.label].filter(Boolean).join(", "));
  };

  const update = (next) => {
    const text = JSON.stringify(next);
    if (text === seen) return;
    const before = clip;
    clip = next;
    seen = text;
    const sameFilm = isPlayable(before) && isPlayable(clip) && before.stream === clip.stream;
    if (holder && before.state === "rendering" && clip.state === "rendering" && !isPlayable(clip)) {
      holder.update(clip);
    } else if (sameFilm) {
      media.querySelector(".corner-start").replaceChildren(...[stateBadge(clip), reusedBadge(clip)].filter(Boolean));
    } else {
      removeFilm(media);
      media.classList.remove("has-frame", "is-playing", "is-broken");
      fillMedia();
    }
    const shown = ({ progress, ...rest }) => JSON.stringify(rest);
    if (shown(before) !== shown(clip)) fillBody();
    describe();
    tick();
  };

  /** What changes with time alone. */
  const tick = () => {
    setText(time, ago(clip.time));
    holder?.tick();
  };

  // Plays under the mouse and with the keyboard's focus; a tap plays, a second tap opens. Enter opens, Space plays.
  let touched = false;
  root.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && !calmMotion.matches && play(media));
  root.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && pause(media));
  root.addEventListener("focus", () => root.matches(":focus-visible") && !calmMotion.matches && play(media));
  root.addEventListener("blur", () => pause(media));
  root.addEventListener("pointerdown", (event) => (touched = event.pointerType !== "mouse"));
  root.addEventListener("click", (event) => {
    if (event.target.closest("a, .body button") || window.getSelection()?.toString()) return;
    if (touched && media.classList.contains("is-film") && !isPlaying(media) && media.contains(event.target)) play(media);
    else onOpen(clip.id);
    touched = false;
  });
  root.addEventListener("keydown", (event) => {
    if (event.target !== root || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    if (event.key === "Enter") onOpen(clip.id);
    else if (isPlaying(media)) pause(media);
    else play(media);
  });

  fillMedia();
  fillBody();
  describe();
  tick();
  return { root, update, tick, clip: () => clip, remove: () => (removeFilm(media), root.remove()) };
}

const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: "up", ArrowDown: "down" };

/** Arrow keys from card to card. */
export function moveWithArrows(grid) {
  grid.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step || !event.target.matches("article.card") || event.ctrlKey || event.metaKey || event.altKey) return;
    const cards = [...grid.children];
    const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
    const by = step === "up" ? -columns : step === "down" ? columns : step;
    const next = cards[cards.indexOf(event.target) + by];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
}
