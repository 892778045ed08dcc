// The states of a clip, in the order in which the chips show them, and their words.

export const STATES = {
  waiting: { label: "Waiting", icon: "clock", text: "Waiting for the rate limit. Nothing is bought yet." },
  rendering: { label: "Rendering", icon: "spark", text: "Venice renders it." },
  finished: { label: "Rendered", icon: "check", text: "Rendered, not stored yet" },
  stored: { label: "Stored", icon: "check", text: "The file is in its place." },
  failed: { label: "Failed", icon: "failed", text: "Venice or a check refused it." },
  doubt: { label: "In doubt", icon: "question", text: "Nobody knows whether it was bought. A person has to check." },
  left: { label: "Not stored", icon: "warning", text: "It is paid for, and its task ended without storing it." },
};

const UNFINISHED = new Set(["waiting", "rendering", "finished"]);

/** Whether a clip may still change by itself. */
export function isUnfinished(clip) {
  return UNFINISHED.has(clip.state);
}

/** What is known of a state, also of one that is new to this page. */
export function stateOf(clip) {
  return STATES[clip.state] ?? { label: clip.state, icon: "question", text: "" };
}
