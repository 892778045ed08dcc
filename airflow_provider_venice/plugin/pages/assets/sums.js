// The sums of a selection.
import { el } from "./dom.js";
import { count, money, plural, span } from "./format.js";

function sum(name, value, testid, number, note) {
  return el("div.sum", {}, el("dt", {}, name), el("dd", { "data-testid": testid, "data-value": number }, value), note ? el("dd.note", {}, note) : null);
}

/** Show the sums: clips, seconds of video, US dollars, what came back. */
export function showSums(place, sums) {
  const unpriced = sums.unpriced ? `${plural(sums.unpriced, "clip")} without a price` : null;
  place.replaceChildren(el("dl.sums", { "aria-label": "Sums of the selection" },
    sum("Clips", count(sums.clips), "sum-clips", sums.clips),
    sum("Video", span(sums.seconds), "sum-seconds", sums.seconds, sums.seconds >= 60 ? `${count(Math.round(sums.seconds))} seconds` : null),
    sum("Spent", money(sums.cost ?? 0), "sum-cost", sums.cost, unpriced),
    sums.refunded ? sum("Refunded", money(sums.refunded), "sum-refunded", sums.refunded) : null));
}
