// The large view over a page: film, prompt, facts, previous and next.
import { el, hidden } from "./dom.js";
import { icon } from "./icons.js";
import { keysHint, mainFacts, moreFacts } from "./facts.js";
import { createStage } from "./stage.js";

/** A viewer of a feed's clips. onChange(clip | null) is called when another clip is shown, or none. */
export function createViewer(feed, onChange = () => {}) {
  const stage = createStage({ autoplay: true });
  const side = el("div.side", { tabindex: 0, role: "region", "aria-label": "Facts of the clip" });
  const place = el("span.place", { "aria-live": "polite" });
  const tool = (name, words, testid, onclick) => el("button.tool", { type: "button", title: words, "data-testid": testid, onclick }, icon(name, 20), hidden(words));
  const close = tool("cross", "Close", "viewer-close", () => dialog.close());
  const previous = tool("left", "Previous clip", "viewer-previous", () => step(-1));
  const next = tool("right", "Next clip", "viewer-next", () => step(1));
  const large = tool("expand", "Full screen", "viewer-fullscreen", () => stage.video()?.requestFullscreen?.().catch(() => {}));
  const dialog = el("dialog.viewer", { "data-testid": "viewer", "aria-label": "Clip" },
    el("div.theatre", {}, el("div.tools", {}, place, keysHint(), large, previous, next, close), stage.root), side);
  document.body.append(dialog);
  let id = null;
  let seen = "";

  const show = (clip) => {
    const text = JSON.stringify(clip);
    if (text === seen) return;
    const isOther = clip.id !== id;
    const shownBefore = ({ progress, ...rest }) => JSON.stringify(rest);
    const sideChanged = isOther || shownBefore(JSON.parse(seen)) !== shownBefore(clip);
    id = clip.id;
    seen = text;
    stage.show(clip);
    if (sideChanged) side.replaceChildren(mainFacts(clip), moreFacts(clip));
    if (isOther) side.scrollTop = 0;
    large.hidden = !document.fullscreenEnabled || !stage.video();
    placeText();
  };

  const placeText = () => {
    const at = feed.ids().indexOf(id);
    place.textContent = `${at + 1} of ${Math.max(feed.total(), feed.ids().length)}`;
    previous.disabled = at <= 0;
    next.disabled = at >= feed.ids().length - 1 && !feed.hasMore();
  };

  const step = async (by) => {
    const at = feed.ids().indexOf(id) + by;
    if (at >= feed.ids().length && feed.hasMore()) await feed.more();
    const clip = feed.get(feed.ids()[at]);
    if (!clip || !dialog.open) return;
    show(clip);
    onChange(clip);
  };

  const open = (clipId) => {
    const clip = feed.get(clipId);
    if (!clip) return;
    if (!dialog.open) {
      dialog.showModal();
      close.focus({ focusVisible: false });
      document.documentElement.classList.add("is-viewing");
    }
    show(clip);
    onChange(clip);
  };

  dialog.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("video:focus-visible, pre")) return; // there they wind the film, or scroll
    event.preventDefault();
    step(by);
  }, true);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    const last = id;
    stage.clear();
    side.replaceChildren();
    id = null;
    seen = "";
    document.documentElement.classList.remove("is-viewing");
    feed.focus(last);
    onChange(null);
  });

  feed.onUpdate((clip) => dialog.open && clip.id === id && show(clip));
  setInterval(() => dialog.open && stage.tick(), 1000);
  return { open, close: () => dialog.close(), isOpen: () => dialog.open };
}
