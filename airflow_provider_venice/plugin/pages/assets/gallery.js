// All clips of all DAGs.
import { createChart } from "./chart.js";
import { createFeed, showBanner, showCount } from "./feed.js";
import { createFilters, emptySelection } from "./filters.js";
import { showSums } from "./sums.js";
import { createViewer } from "./viewer.js";
import { welcome } from "./welcome.js";

const at = (id) => document.getElementById(id);
let viewer = null;

const filters = createFilters(at("filters"), {
  parts: ["search", "dag", "model", "dates"],
  onChange: () => feed.reload(),
  onRefresh: () => feed.look(),
});
const chart = createChart(at("chart"), (after, before) => filters.set({ after, before }));
const feed = createFeed({
  place: at("feed"),
  where: "all",
  query: filters.query,
  onOpen: (id) => viewer.open(id),
  isOpen: () => viewer.isOpen(),
  onError: (error, retry) => showBanner(at("banner"), error, retry),
  onAnswer: (answer, isFirst) => {
    showCount(filters.counter, answer);
    if (!isFirst) return;
    const nothing = !answer.total && !filters.isSet();
    showSums(at("sums"), answer.sums);
    chart.show(answer.sums);
    filters.setOptions(answer.options);
    document.body.classList.toggle("is-new", nothing);
    at("feed").querySelector(".empty")?.remove();
    if (!answer.total) at("feed").append(nothing ? welcome() : emptySelection(filters.clear));
  },
});
viewer = createViewer(feed);
feed.reload();
