// Films in a grid: each has its address only near the window, few load at once, and few exist at all.
import { el } from "./dom.js";

const MOST_LIVE = 30;
const MOST_LOADING = 4; // a browser has six connections to a server; the others are for the API
const NEAR = "500px 0px";

const films = new Map(); // media element -> film
const waiting = new Set();
const live = new Set();
const loading = new Set();
const pictures = new Map(); // stream -> small picture of the first frame, for when the film is let go
let pumpTimer = 0;

export const calmMotion = window.matchMedia("(prefers-reduced-motion: reduce)");

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const film = films.get(entry.target);
    if (!film) continue;
    film.isNear = entry.isIntersecting;
    if (film.isNear && !film.video) waiting.add(film);
    if (!film.isNear) {
      waiting.delete(film);
      release(film);
    }
  }
  pumpSoon();
}, { rootMargin: NEAR });

/** Wait a moment, so that what is only scrolled past is never asked for. */
function pumpSoon() {
  if (!pumpTimer) pumpTimer = setTimeout(pump, 120);
}

function distance(film) {
  const box = film.media.getBoundingClientRect();
  return Math.abs((box.top + box.bottom) / 2 - window.innerHeight / 2);
}

function pump() {
  pumpTimer = 0;
  const next = [...waiting].map((film) => [distance(film), film]).sort((a, b) => a[0] - b[0]);
  for (const [, film] of next) {
    if (loading.size >= MOST_LOADING || live.size >= MOST_LIVE) break;
    attach(film);
  }
}

function attach(film) {
  if (film.video) return;
  waiting.delete(film);
  if (live.size >= MOST_LIVE) {
    const [farthest] = [...live].filter((one) => !one.isWanted).sort((a, b) => distance(b) - distance(a));
    if (farthest) release(farthest);
  }
  const video = el("video.film", { muted: true, loop: true, playsinline: true, preload: "metadata", tabindex: -1, "aria-hidden": "true" });
  video.muted = true;
  film.video = video;
  live.add(film);
  loading.add(film);
  const loaded = () => {
    clearTimeout(film.timer);
    if (loading.delete(film)) pumpSoon();
  };
  film.timer = setTimeout(loaded, 8000);
  video.addEventListener("loadeddata", () => {
    loaded();
    film.media.classList.add("has-frame");
    keepPicture(film, video);
  });
  video.addEventListener("error", () => {
    loaded();
    if (film.video === video) film.media.classList.add("is-broken");
  });
  video.addEventListener("playing", () => film.media.classList.add("is-playing"));
  video.addEventListener("pause", () => film.media.classList.remove("is-playing"));
  video.src = `${film.stream}#t=0.01`;
  film.media.prepend(video);
}

function release(film) {
  const { video } = film;
  if (!video) return;
  clearTimeout(film.timer);
  film.video = null;
  film.isWanted = false;
  live.delete(film);
  loading.delete(film);
  video.pause();
  video.removeAttribute("src");
  video.load(); // ends the download
  video.remove();
  film.media.classList.remove("has-frame", "is-playing", "is-broken");
  showPicture(film);
  pumpSoon();
}

/** Keep a small picture of the first frame, when there is time. Films of another server cannot be read. */
function keepPicture(film, video) {
  if (pictures.has(film.stream)) return;
  const later = window.requestIdleCallback ?? ((work) => setTimeout(work, 200));
  later(() => {
    if (film.video !== video || !video.videoWidth) return;
    const scale = Math.min(1, 320 / Math.max(video.videoWidth, video.videoHeight));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    try {
      canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
      pictures.set(film.stream, canvas.toDataURL("image/jpeg", 0.7));
    } catch {
      pictures.set(film.stream, null);
    }
  });
}

function showPicture(film) {
  const picture = pictures.get(film.stream);
  if (!picture || film.media.querySelector(".picture")) return;
  film.media.prepend(el("img.picture", { src: picture, alt: "" }));
}

/** Give a media area its film, once it is near the window. */
export function addFilm(media, stream) {
  const film = { media, stream, video: null, isNear: false, isWanted: false, timer: 0 };
  films.set(media, film);
  showPicture(film);
  watcher.observe(media);
}

/** Forget the film of a media area that leaves the page. */
export function removeFilm(media) {
  const film = films.get(media);
  if (!film) return;
  watcher.unobserve(media);
  waiting.delete(film);
  release(film);
  films.delete(media);
}

/** Whether the film plays, or is about to. */
export function isPlaying(media) {
  return Boolean(films.get(media)?.isWanted);
}

/** Play a film, without sound. */
export function play(media) {
  const film = films.get(media);
  if (!film) return;
  for (const other of live) if (other !== film && other.isWanted) pause(other.media);
  attach(film);
  film.isWanted = true;
  film.video.play().catch(() => {});
}

/** Pause a film. */
export function pause(media) {
  const film = films.get(media);
  if (!film) return;
  film.isWanted = false;
  film.video?.pause();
}

/** How many films exist, for tests and measurements. */
export function liveFilms() {
  return live.size;
}
