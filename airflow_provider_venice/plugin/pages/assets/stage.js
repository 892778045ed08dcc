// One clip, large: the film with its controls, or what stands in its place.
import { el } from "./dom.js";
import { icon } from "./icons.js";
import { isPlayable, placeholder } from "./placeholder.js";
import { calmMotion } from "./player.js";

/** A stage. `show(clip)` keeps the film that plays where the clip's address is the same. */
export function createStage({ autoplay }) {
  const root = el("div.stage");
  let shown = null;
  let holder = null;

  const film = (clip) => {
    const video = el("video", { controls: true, loop: true, playsinline: true, preload: "auto", "aria-label": clip.prompt ?? clip.label });
    video.src = clip.stream;
    video.addEventListener("error", () => {
      if (root.contains(video)) {
        video.replaceWith(el("div.holder.holder-stored", {}, el("span.holder-icon", {}, icon("film", 22)),
          el("strong.holder-title", {}, "The film does not load"), el("p.holder-text", {}, "The file may have been moved or removed, or this browser cannot play it.")));
      }
    });
    root.replaceChildren(video);
    if (!autoplay || calmMotion.matches) return;
    video.play().catch((error) => {
      if (error.name !== "NotAllowedError") return;
      video.muted = true; // without sound it may
      video.play().catch(() => {});
    });
  };

  const show = (clip) => {
    const before = shown;
    shown = clip;
    if (isPlayable(clip)) {
      holder = null;
      if (!before || !isPlayable(before) || before.stream !== clip.stream) film(clip);
    } else if (holder && before?.id === clip.id && before.state === "rendering" && clip.state === "rendering") {
      holder.update(clip);
    } else {
      clear();
      shown = clip;
      holder = placeholder(clip);
      root.replaceChildren(holder.element);
    }
  };

  /** End the film and its download. */
  const clear = () => {
    const video = root.querySelector("video");
    root.replaceChildren();
    if (video) {
      video.pause();
      video.removeAttribute("src");
      video.load();
    }
    shown = null;
    holder = null;
  };

  return { root, show, clear, tick: () => holder?.tick(), video: () => root.querySelector("video") };
}
