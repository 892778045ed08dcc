// The gallery before the first clip: how to make one.
import { el } from "./dom.js";
import { icon } from "./icons.js";
import { copyButton } from "./shell.js";

const SAMPLE = `from airflow.sdk import DAG

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator

with DAG(dag_id="first_clip", schedule=None):
    VeniceGenerateVideoOperator(
        task_id="generate",
        model="wan-2-7-text-to-video",
        prompt="A heron takes off from a misty lake",
        duration="5s",
        output_path="/tmp/venice/{{ run_id }}.mp4",
        max_cost=1.00,  # US dollars; above it, nothing is bought
    )
`;

const TOKENS = /("[^"]*")|(#.*)|\b(from|import|with|as|None)\b|\b(\d+\.\d+)\b/g;

/** Code with its strings, comments and keywords coloured. */
function coloured(code) {
  const parts = [];
  let at = 0;
  for (const match of code.matchAll(TOKENS)) {
    const kind = match[1] ? "string" : match[2] ? "comment" : match[3] ? "keyword" : "number";
    parts.push(code.slice(at, match.index), el(`span.code-${kind}`, {}, match[0]));
    at = match.index + match[0].length;
  }
  return [...parts, code.slice(at)];
}

/** What a person sees who has no clip yet. */
export function welcome() {
  return el("div.empty.welcome", { "data-testid": "empty", "data-kind": "first" },
    el("div.welcome-text", {}, el("span.empty-icon", {}, icon("film", 26)), el("h1", {}, "No clips yet"),
      el("p", {}, "Clips appear here as soon as a task asks Venice for one: first as they wait and render, then as films to watch."),
      el("ol.steps", {},
        el("li", {}, "Add the connection ", el("code", {}, "venice_default"), " with your API key."),
        el("li", {}, "Save this file in your DAGs folder."),
        el("li", {}, "Trigger ", el("code", {}, "first_clip"), " and come back."))),
    el("div.sample", {}, el("div.sample-head", {}, el("span", {}, "first_clip.py"), copyButton(SAMPLE, "the DAG")), el("pre", { tabindex: 0 }, el("code", {}, coloured(SAMPLE)))));
}
