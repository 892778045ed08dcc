// The clips of one DAG run, as a contact sheet.
import { pageQuery } from "./api.js";
import { el } from "./dom.js";
import { createFeed, showBanner, showCount } from "./feed.js";
import { createFilters, emptySelection } from "./filters.js";
import { dagPath, runPath, shellLink } from "./shell.js";
import { showSums } from "./sums.js";
import { createViewer } from "./viewer.js";

const { dag_id, run_id } = pageQuery();
const at = (id) => document.getElementById(id);
let viewer = null;

at("lead").append(shellLink(dagPath({ dag_id }), dag_id ?? ""), " · ", shellLink(runPath({ dag_id, run_id }), run_id ?? ""));

const filters = createFilters(at("filters"), {
  parts: ["search"],
  onChange: () => feed.reload(),
  onRefresh: () => feed.look(),
});
const feed = createFeed({
  place: at("feed"),
  where: "run",
  dense: true,
  query: () => {
    const { search, state } = filters.query();
    return { dag_id, run_id, search, state };
  },
  onOpen: (id) => viewer.open(id),
  isOpen: () => viewer.isOpen(),
  onError: (error, retry) => showBanner(at("banner"), error, retry),
  onAnswer: (answer, isFirst) => {
    showCount(filters.counter, answer);
    if (!isFirst) return;
    showSums(at("sums"), answer.sums);
    filters.setOptions(answer.options);
    at("feed").querySelector(".empty")?.remove();
    if (answer.total) return;
    at("feed").append(filters.isSet() ? emptySelection(filters.clear) : el("div.empty", { "data-testid": "empty", "data-kind": "run" },
      el("h2", {}, "This run has no clip"), el("p", {}, "Clips appear here once a task of this run has asked Venice for one.")));
  },
});
viewer = createViewer(feed);
if (dag_id && run_id) feed.reload();
else showBanner(at("banner"), { message: "No run was named", advice: "Open this page from a DAG run." });
