// The clips of one task instance: one large, several as a contact sheet.
import { pageQuery } from "./api.js";
import { el } from "./dom.js";
import { mainFacts, moreFacts } from "./facts.js";
import { createFeed, showBanner } from "./feed.js";
import { plural } from "./format.js";
import { icon } from "./icons.js";
import { createStage } from "./stage.js";
import { createViewer } from "./viewer.js";

const { dag_id, run_id, task_id, map_index } = pageQuery();
const at = (id) => document.getElementById(id);
const stage = createStage({ autoplay: false });
const left = el("div.left", {}, stage.root);
const side = el("div.side");
let viewer = null;
let shown = "";

/** The one clip of the task, large. */
function showOne(clip) {
  document.body.classList.add("is-single");
  if (!stage.root.isConnected) at("clip").replaceChildren(el("div.single", {}, left, side));
  stage.show(clip);
  const text = JSON.stringify({ ...clip, progress: null });
  if (text === shown) return;
  shown = text;
  side.replaceChildren(mainFacts(clip, "h1"));
  left.querySelector(".more")?.remove();
  left.append(moreFacts(clip));
}

function showMany(total) {
  document.body.classList.remove("is-single");
  stage.clear();
  shown = "";
  at("clip").replaceChildren(el("header.head", {}, el("div.head-text", {}, el("h1", {}, plural(total, "clip")), el("p.lead", {}, `Made by ${task_id}`))));
}

function showNone() {
  document.body.classList.remove("is-single");
  at("clip").replaceChildren(el("div.empty", { "data-testid": "empty", "data-kind": "task" }, el("h2", {}, "This task instance has no clip"),
    el("p", {}, "It has not asked Venice for one yet, its XComs were cleared, or it is a task of another kind."),
    el("button.button", { type: "button", "data-testid": "refresh", onclick: () => feed.reload() }, icon("refresh"), "Look again")));
}

/** The clip that the hash names by its position in the task. */
function fromHash() {
  const position = /^#(\d+)$/.exec(window.location.hash)?.[1];
  return position === undefined ? null : feed.ids().find((id) => feed.get(id).position === Number(position));
}

function openFromHash() {
  const id = fromHash();
  if (id) viewer.open(id);
}

const feed = createFeed({
  place: at("feed"),
  where: "none",
  dense: true,
  pageSize: 200,
  query: () => ({ dag_id, run_id, task_id, map_index: map_index ?? "-1" }),
  order: (clips) => [...clips].sort((a, b) => (a.position ?? 0) - (b.position ?? 0)),
  onOpen: (id) => viewer.open(id),
  isOpen: () => viewer.isOpen(),
  onError: (error, retry) => showBanner(at("banner"), error, retry),
  onAnswer: (answer, isFirst) => {
    if (!isFirst) return;
    if (answer.total > 1) showMany(answer.total);
    else if (answer.total) showOne(answer.clips[0]);
    else showNone();
    if (answer.total > 1 && !viewer.isOpen()) openFromHash();
  },
});
viewer = createViewer(feed, (clip) => {
  const hash = clip && Number.isInteger(clip.position) ? `#${clip.position}` : "";
  window.history.replaceState(null, "", window.location.pathname + window.location.search + hash);
});
feed.onUpdate((clip) => document.body.classList.contains("is-single") && showOne(clip));
setInterval(() => !document.hidden && stage.tick(), 1000);
window.addEventListener("hashchange", openFromHash);
if (dag_id && run_id && task_id) feed.reload();
else showNone();
