// All that is known of one clip: facts, times, file, request, and the whole as JSON.
import { el } from "./dom.js";
import { icon } from "./icons.js";
import { ago, bytes, clock, exact, fieldName, money, span } from "./format.js";
import { isPlayable } from "./placeholder.js";
import { refundBadge, reusedBadge, stateBadge, suggestions } from "./cards.js";
import { copyButton, dagPath, downloadButton, runPath, shellLink, taskPath } from "./shell.js";

/** A value as text; objects as short JSON. */
function valueText(value) {
  if (value === true) return "yes";
  if (value === false) return "no";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** A list of names and values; values that are null are left out. */
function list(rows) {
  const known = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  if (!known.length) return null;
  return el("dl.list", {}, known.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value instanceof Node ? value : valueText(value))]));
}

function section(title, ...content) {
  const inside = content.flat().filter(Boolean);
  return inside.length ? el("section.section", {}, el("h3", {}, title), inside) : null;
}

/** What to do, or what went wrong. */
function notice(clip) {
  const texts = [clip.error, clip.advice].filter(Boolean);
  const content = [...texts.map((text, at) => el(at ? "p.advice" : "p", {}, text)), ...suggestions(clip)];
  return content.length ? el(`div.notice.notice-${clip.state}`, {}, content) : null;
}

/** Queued, detected, stored, with the time between. */
function timeline(clip) {
  const steps = [["Queued", clip.queued_at], ["Finished at Venice", clip.detected_at], ["Stored", clip.stored_at]].filter(([, time]) => time);
  if (!steps.length) return null;
  return el("ol.timeline", {}, steps.map(([name, time], at) => el("li", {},
    el("span.step", {}, name),
    el("time", { datetime: new Date(time * 1000).toISOString(), title: exact(time) }, clock(time)),
    at ? el("span.between", {}, `+ ${span(time - steps[at - 1][1])}`) : el("span.between", {}, ago(time)))));
}

function fileList(file) {
  if (!file) return null;
  const { duration, resolution, fps, format } = file.metadata ?? {};
  const digest = file.sha256 && el("span.digest", {}, el("code", { title: file.sha256 }, file.sha256), copyButton(file.sha256, "the SHA-256"));
  const path = file.path && el("span.digest", {}, el("code", { title: file.path }, file.path), copyButton(file.path, "the path"));
  const picture = [resolution, fps ? `${valueText(fps)} frames per second` : null, format, duration ? `${valueText(duration)}${typeof duration === "number" ? " s" : ""}` : null].filter(Boolean).join(" · ");
  return list([["Path", path], ["Size", bytes(file.size)], ["Picture", picture], ["SHA-256", digest]]);
}

/** The record of a clip as JSON, for a file beside it. */
export function manifest(clip) {
  const { dag_id, run_id, task_id, map_index, position } = clip;
  return JSON.stringify({
    state: clip.state,
    prompt: clip.prompt,
    model: clip.model,
    request: clip.request,
    labels: clip.labels,
    cost: { usd: clip.cost, is_refunded: clip.is_refunded, is_reused: clip.is_reused },
    times: Object.fromEntries(["queued_at", "detected_at", "stored_at"].map((key) => [key, clip[key] ? new Date(clip[key] * 1000).toISOString() : null])),
    file: clip.file,
    error: clip.error,
    queue_id: clip.queue_id,
    task: { dag_id, run_id, task_id, map_index, position },
  }, null, 2);
}

function jsonDetails(title, testid, makeText, what) {
  const inside = el("div.json");
  const details = el("details.details", { "data-testid": testid }, el("summary", {}, title), inside);
  details.addEventListener("toggle", () => {
    if (!details.open || inside.childElementCount) return;
    const text = makeText();
    inside.append(el("div.json-tools", {}, copyButton(text, what)), el("pre", { tabindex: 0 }, text));
  });
  return details;
}

const PARTS = { buys: "buys", waits: "waits", stores: "stores" };

function taskList(clip) {
  if (!clip.tasks?.length) return null;
  return el("ul.tasks", {}, clip.tasks.map((task) => el("li", {},
    el(`span.dot.task-${task.state ?? "none"}`),
    shellLink(taskPath(clip, task.task_id), task.task_id),
    el("span.quiet", {}, [PARTS[task.part], task.state ?? "no state"].filter(Boolean).join(" · ")))));
}

/** What one wants to know first: state, prompt, what to do, facts, labels, tasks. heading: "h1" or "h2". */
export function mainFacts(clip, heading = "h2") {
  const price = money(clip.cost);
  const labels = Object.entries(clip.labels ?? {});
  return el("div.facts", {},
    el("div.badges", {}, stateBadge(clip), refundBadge(clip), reusedBadge(clip), el("time.quiet", { datetime: new Date(clip.time * 1000).toISOString(), title: exact(clip.time) }, ago(clip.time))),
    el(`${heading}.title`, {}, clip.prompt ?? "No prompt"),
    notice(clip),
    el("div.actions", {}, isPlayable(clip) ? downloadButton(clip, ".primary") : null, clip.prompt ? copyButton(clip.prompt, "the prompt", "Copy prompt") : null),
    list([
      ["Model", clip.model && el("code", {}, clip.model)],
      ["Duration", clip.duration],
      ["Resolution", clip.resolution],
      ["Aspect ratio", clip.aspect_ratio],
      ["Sound", clip.audio === null || clip.audio === undefined ? null : valueText(clip.audio)],
      ["Price", price && el("span", {}, el(clip.is_refunded ? "s" : "strong", {}, price), clip.is_refunded ? " refunded" : clip.is_reused ? " reused, nothing paid" : "")],
      ["DAG", shellLink(dagPath(clip), clip.dag_id)],
      ["Run", shellLink(runPath(clip), clip.run_id)],
      ["Task", shellLink(taskPath(clip), clip.label ?? clip.task_id)],
      ["Position", clip.position],
    ]),
    section("Labels", labels.length ? el("ul.labels", {}, labels.map(([name, value]) => el("li", {}, el("span.quiet", {}, `${name} `), valueText(value)))) : null),
    section("Tasks", taskList(clip)));
}

/** The rest: times, file, request, manifest. */
export function moreFacts(clip) {
  const request = Object.entries(clip.request ?? {}).filter(([name, value]) => name !== "prompt" && value !== null);
  return el("div.facts.more", {},
    section("Times", timeline(clip)),
    section("File", fileList(clip.file)),
    section("Request", list(request.map(([name, value]) => [fieldName(name), valueText(value)]))),
    jsonDetails("Manifest", "manifest", () => manifest(clip), "the manifest"));
}

/** The small line under a film that says how to move on. */
export function keysHint() {
  return el("p.keys", {}, icon("left", 14), icon("right", 14), " previous, next", el("kbd", {}, "Esc"), "close");
}
