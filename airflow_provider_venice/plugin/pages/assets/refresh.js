// Refreshes of what is unfinished, and of nothing else; none while the page is hidden.
import { getUpdates } from "./api.js";
import { isUnfinished } from "./states.js";

const REFRESH = 5_000;
const LOOK = 15_000;
const SLOWEST = 60_000;
const LONGEST_QUERY = 6_000; // characters; servers in front of Airflow refuse long addresses
const MOST_IDS = 200;

function isSeen(card) {
  const box = card.root.getBoundingClientRect();
  return box.bottom > 0 && box.top < window.innerHeight;
}

/**
 * Keep the cards of a feed up to date.
 * { cards: id -> card, change(clip), look() looks for new clips, isBusy(), onError(error | null) }
 */
export function createRefresher({ cards, change, look, isBusy, onError }) {
  const gone = new Set(); // ids that Airflow no longer knows
  const asked = new Map(); // id -> when it was last asked for
  let failures = 0;
  let selection = 0;
  let nextRefresh = 0;
  let nextLook = Date.now() + LOOK;

  /** The unfinished cards to ask for: those in sight, then those that were asked for longest ago. */
  const choose = () => {
    const open = [...cards].filter(([id, card]) => isUnfinished(card.clip()) && !gone.has(id));
    const order = open.map(([id, card]) => [isSeen(card) ? 0 : 1, asked.get(id) ?? 0, id]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    const chosen = [];
    let length = 0;
    for (const [, , id] of order) {
      length += encodeURIComponent(id).length + 4;
      if (chosen.length && (length > LONGEST_QUERY || chosen.length >= MOST_IDS)) break;
      chosen.push(id);
    }
    return chosen;
  };

  const refresh = async (chosen) => {
    const mine = selection;
    const answer = await getUpdates(chosen);
    if (mine !== selection) return;
    const now = Date.now();
    const there = new Set(answer.clips.map((clip) => clip.id));
    for (const id of chosen) {
      asked.set(id, now);
      if (there.has(id)) continue;
      gone.add(id);
      const root = cards.get(id)?.root;
      root?.classList.add("is-gone");
      root?.setAttribute("title", "Airflow no longer knows this clip");
    }
    for (const clip of answer.clips) change(clip);
  };

  /** Once a second: texts that change with time, and what is due. */
  const beat = async () => {
    if (document.hidden) return;
    for (const card of cards.values()) if (card.clip().state === "rendering") card.tick();
    if (Date.now() < nextRefresh || isBusy()) return;
    const chosen = choose();
    if (!chosen.length) return;
    nextRefresh = Infinity; // one at a time
    try {
      await refresh(chosen);
      if (Date.now() >= nextLook) {
        nextLook = Date.now() + LOOK;
        await look();
      }
      if (failures) onError(null);
      failures = 0;
    } catch (error) {
      failures += 1;
      onError(error);
    }
    nextRefresh = Date.now() + Math.min(SLOWEST, REFRESH * 2 ** failures);
  };

  setInterval(beat, 1000);
  document.addEventListener("visibilitychange", beat);

  return {
    /** Refresh at the next beat, as after an error that is over. */
    soon: () => {
      failures = 0;
      nextRefresh = 0;
    },
    /** Another selection. */
    forget: () => {
      selection += 1;
      gone.clear();
      asked.clear();
      nextRefresh = Date.now() + REFRESH;
      nextLook = Date.now() + LOOK;
    },
  };
}
