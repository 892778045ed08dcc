// What stands where a clip's picture would be: a clip that waits, is rendered, failed, or cannot be played here.
import { el, setText } from "./dom.js";
import { icon } from "./icons.js";
import { ago, serverTime, span } from "./format.js";
import { stateOf } from "./states.js";

/** Whether there is a film to play. */
export function isPlayable(clip) {
  return Boolean(clip.stream) && !clip.unavailable;
}

/** The title and the text of a placeholder. */
function words(clip) {
  if (clip.state === "stored") return ["Cannot be played here", clip.unavailable || "The file has no address to play it from."];
  if (clip.state === "finished") return ["Rendered, not stored yet", clip.advice || clip.unavailable || "A task stores it next."];
  if (clip.state === "waiting") return ["Waiting for the rate limit", clip.advice || "Nothing is bought yet."];
  if (clip.state === "failed") return [null, clip.error || "No reason was given."];
  if (clip.state === "doubt") return ["Please check", clip.advice || clip.error || stateOf(clip).text];
  if (clip.state === "left") return ["Paid, not stored", clip.advice || clip.error || stateOf(clip).text];
  return [stateOf(clip).label, clip.advice || clip.error || stateOf(clip).text];
}

/** The placeholder of a clip. Call `update` with the clip's newer record while its state stays the same. */
export function placeholder(clip) {
  return clip.state === "rendering" ? rendering(clip) : still(clip);
}

function still(clip) {
  const [title, text] = words(clip);
  const name = clip.state === "stored" ? "film" : stateOf(clip).icon;
  const element = el(`div.holder.holder-${clip.state}`, {},
    el("span.holder-icon", {}, icon(name, 22)),
    title && el("strong.holder-title", {}, title),
    el("p.holder-text", { title: text }, text));
  return { element, update: () => {}, tick: () => {} };
}

function rendering(clip) {
  const percent = el("strong.percent");
  const kind = el("span.kind", { title: "Worked out from how long such clips take" }, "estimate");
  const remaining = el("span.remaining");
  const seen = el("span.seen");
  const fill = el("span.fill");
  const bar = el("div.progress", { role: "progressbar", "aria-label": "Rendering", "aria-valuemin": 0, "aria-valuemax": 100, "data-testid": "progressbar" }, fill);
  const element = el("div.holder.holder-rendering", {}, el("span.aurora", { "aria-hidden": "true" }),
    el("div.progress-head", {}, percent, kind), bar, el("div.progress-foot", {}, remaining, seen));
  let progress = null;
  let since = 0;

  /** What changes with each second. */
  const tick = () => {
    const left = Number.isFinite(progress?.remaining) ? progress.remaining - (serverTime() - since) : null;
    setText(remaining, left === null ? "" : left > 0.5 ? `${span(left)} left` : "any moment now");
    setText(seen, progress?.seen_at ? `seen ${ago(progress.seen_at)}` : "not seen yet");
  };

  /** A newer record. Remaining time counts on where the record says nothing new. */
  const update = (newer) => {
    const next = newer.progress;
    const same = progress && next && ["percent", "remaining", "seen_at"].every((key) => progress[key] === next[key]);
    if (!same) since = serverTime();
    progress = next;
    const known = Number.isFinite(next?.percent);
    const value = known ? Math.round(Math.max(0, Math.min(100, next.percent))) : null;
    setText(percent, known ? `${value}%` : "Rendering");
    kind.hidden = !(next?.is_estimate && (known || Number.isFinite(next?.remaining)));
    bar.classList.toggle("is-estimate", Boolean(next?.is_estimate));
    bar.classList.toggle("is-unknown", !known);
    fill.style.width = known ? `${Math.max(value, 2)}%` : "";
    if (known) {
      bar.setAttribute("aria-valuenow", value);
      bar.setAttribute("aria-valuetext", `${value} percent${next.is_estimate ? ", estimate" : ""}`);
    } else {
      bar.removeAttribute("aria-valuenow");
      bar.setAttribute("aria-valuetext", "How far it is, is not known");
    }
    tick();
  };

  update(clip);
  return { element, update, tick };
}
