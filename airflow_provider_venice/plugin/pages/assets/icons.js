// Line icons, drawn on 24 by 24.
import { svg } from "./dom.js";

const PATHS = {
  clock: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z", "M12 7.5V12l3 2"],
  play: ["M8 5.5v13l10.5-6.5z"],
  check: ["M5 12.5l4.5 4.5L19 7.5"],
  spark: ["M12 3l1.9 5.6 5.6 1.9-5.6 1.9L12 18l-1.9-5.6-5.6-1.9 5.6-1.9z", "M19 16v4", "M17 18h4"],
  cross: ["M6 6l12 12", "M18 6L6 18"],
  failed: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z", "M9 9l6 6", "M15 9l-6 6"],
  warning: ["M12 4L2.8 19.5h18.4z", "M12 10v4", "M12 16.8v.2"],
  question: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z", "M9.5 9.5a2.5 2.5 0 1 1 3.4 2.3c-.6.3-.9.7-.9 1.4v.5", "M12 16.6v.2"],
  film: ["M4 5h16v14H4z", "M8 5v14", "M16 5v14", "M4 9.5h4", "M4 14.5h4", "M16 9.5h4", "M16 14.5h4"],
  download: ["M12 4v11", "M7 10.5l5 5 5-5", "M5 19.5h14"],
  copy: ["M9 9h10v11H9z", "M15 9V4.5H5V15h4"],
  search: ["M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z", "M15.5 15.5L20 20"],
  refresh: ["M19.5 11A7.5 7.5 0 0 0 6 6.8L4 9", "M4 4.5V9h4.5", "M4.5 13A7.5 7.5 0 0 0 18 17.2l2-2.2", "M20 19.5V15h-4.5"],
  left: ["M14.5 5.5L8 12l6.5 6.5"],
  right: ["M9.5 5.5L16 12l-6.5 6.5"],
  up: ["M12 19V5.5", "M6 11.5l6-6 6 6"],
  expand: ["M4 9V4h5", "M20 9V4h-5", "M4 15v5h5", "M20 15v5h-5"],
  filter: ["M4 6h16", "M7 12h10", "M10 18h4"],
};

/** An icon that screen readers pass over. */
export function icon(name, size = 16) {
  const paths = PATHS[name].map((d) => svg("path", { d }));
  return svg(
    "svg",
    {
      class: `icon icon-${name}`, width: size, height: size, viewBox: "0 0 24 24", fill: "none", stroke: "currentColor",
      "stroke-width": 1.75, "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true",
    },
    ...paths,
  );
}
