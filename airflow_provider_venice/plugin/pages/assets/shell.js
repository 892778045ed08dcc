// What needs Airflow's shell around this page: links, downloads, the clipboard.
import { el } from "./dom.js";
import { icon } from "./icons.js";

/** The shell's document, or null where the page stands alone. */
function shellDocument() {
  try {
    return window.parent === window ? null : window.parent.document;
  } catch {
    return null;
  }
}

/** Click a link in the shell's document: this frame may neither navigate the shell nor download. */
function clickInShell(href, attributes) {
  const shell = shellDocument() ?? document;
  const link = shell.createElement("a");
  link.href = href;
  for (const [name, value] of Object.entries(attributes)) link.setAttribute(name, value);
  link.hidden = true;
  shell.body.append(link);
  link.click();
  link.remove();
}

/** A path of Airflow's UI, from this page at `<base>/venice/…`. */
function uiPath(...parts) {
  return `../${parts.map(encodeURIComponent).join("/")}`;
}

export const dagPath = (clip) => uiPath("dags", clip.dag_id);
export const runPath = (clip) => uiPath("dags", clip.dag_id, "runs", clip.run_id);

/** The task instance of a clip, or another task of the same run. */
export function taskPath(clip, taskId = clip.task_id) {
  const mapped = taskId === clip.task_id && clip.map_index >= 0 ? ["mapped", String(clip.map_index)] : [];
  return uiPath("dags", clip.dag_id, "runs", clip.run_id, "tasks", taskId, ...mapped);
}

/** A link that opens in the shell; with Ctrl, Shift or the middle button as any link does. */
export function shellLink(path, text, attributes = {}) {
  const onclick = (event) => {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || !shellDocument()) return;
    event.preventDefault();
    clickInShell(event.currentTarget.href, {});
  };
  return el("a.link", { href: path, title: text, ...attributes, onclick }, text);
}

/** A button that downloads a clip's file. */
export function downloadButton(clip, className = "") {
  const href = new URL(`${clip.stream}${clip.stream.includes("?") ? "&" : "?"}download=1`, window.location.href).href;
  const onclick = (event) => {
    if (!shellDocument()) return;
    event.preventDefault();
    clickInShell(href, { download: "" });
  };
  return el(`a.button${className}`, { href, download: true, "data-testid": "download", onclick }, icon("download"), "Download");
}

/** Copy text, also where the browser keeps the clipboard from frames or from plain HTTP. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el("textarea.sr-only", { "aria-hidden": "true", tabindex: -1 });
    area.value = text;
    const place = document.querySelector("dialog[open]") ?? document.body;
    place.append(area);
    const before = document.activeElement;
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    before?.focus?.({ preventScroll: true });
    return done;
  }
}

/** A button that copies a text and says so. */
export function copyButton(text, what, label = "Copy") {
  const words = el("span", { "aria-live": "polite" }, label);
  const onclick = async (event) => {
    event.stopPropagation();
    words.textContent = (await copy(text)) ? "Copied" : "Select and copy by hand";
    setTimeout(() => (words.textContent = label), 2000);
  };
  return el("button.button.small", { type: "button", title: `Copy ${what}`, onclick }, icon("copy", 14), words, label === "Copy" ? el("span.sr-only", {}, ` ${what}`) : "");
}
