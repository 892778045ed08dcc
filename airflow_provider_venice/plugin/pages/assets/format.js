// Numbers, lengths and times as people read them.

let offset = 0;

/** Take the server's time, so that "20 s ago" is right on a computer whose clock is not. */
export function setServerTime(now) {
  if (Number.isFinite(now)) offset = now - Date.now() / 1000;
}

/** The server's time in seconds. */
export function serverTime() {
  return Date.now() / 1000 + offset;
}

/** 1234 -> "1,234". */
export function count(number) {
  return Number(number ?? 0).toLocaleString("en-US");
}

/** "1 clip", "2 clips". */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** US dollars; small prices keep the digits that matter. */
export function money(dollars) {
  if (dollars === null || dollars === undefined) return null;
  const digits = dollars !== 0 && Math.abs(dollars) < 0.01 ? 4 : 2;
  return dollars.toLocaleString("en-US", { style: "currency", currency: "USD", minimumFractionDigits: digits });
}

/** A length of time in its two largest units: "5 s", "2 min 5 s", "1 h 42 min", "3 d 4 h". */
export function span(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds > 0 && seconds < 1) return "under 1 s";
  const all = Math.round(Math.max(0, seconds));
  const parts = [[Math.floor(all / 86400), "d"], [Math.floor(all / 3600) % 24, "h"], [Math.floor(all / 60) % 60, "min"], [all % 60, "s"]];
  const first = parts.findIndex(([value]) => value > 0);
  if (first < 0) return "0 s";
  return parts.slice(first, first + 2).filter(([value]) => value > 0).map(([value, unit]) => `${value} ${unit}`).join(" ");
}

/** "just now", "20 s ago", "3 h ago", and after a month the date. */
export function ago(time) {
  const seconds = serverTime() - time;
  if (seconds < 5) return "just now";
  if (seconds > 30 * 86400) return new Date(time * 1000).toLocaleDateString("en-US", { dateStyle: "medium" });
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([size]) => seconds >= size);
  return `${Math.floor(seconds / size)} ${unit} ago`;
}

/** The exact time, with its zone. */
export function exact(time) {
  const options = { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false, timeZoneName: "short" };
  return new Date(time * 1000).toLocaleString("en-US", options);
}

/** The time of day, with its zone in the title elsewhere. */
export function clock(time) {
  return new Date(time * 1000).toLocaleTimeString("en-US", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
}

/** Bytes: "4.2 MB". */
export function bytes(number) {
  if (!Number.isFinite(number)) return null;
  const units = ["bytes", "kB", "MB", "GB"];
  let unit = 0;
  let value = number;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit ? value.toFixed(1) : value} ${units[unit]}`;
}

/** "2026-11-28" -> "28 Nov". */
export function day(iso, withYear = false) {
  const date = new Date(`${iso}T00:00:00Z`);
  const options = { day: "numeric", month: "short", timeZone: "UTC", ...(withYear ? { year: "numeric" } : {}) };
  return date.toLocaleDateString("en-GB", options);
}

/** A run's id in few letters where it is one of Airflow's own: "28 Nov 16:00"; else as it is. */
export function runName(id) {
  const [, time] = /^(?:manual|scheduled|backfill|asset_triggered)__(\d{4}-\d\d-\d\dT\d\d:\d\d)/.exec(id) ?? [];
  return time ? `${day(time.slice(0, 10))} ${time.slice(11)}` : id;
}

/** Field names for people: "aspect_ratio" -> "Aspect ratio". */
export function fieldName(name) {
  const words = String(name).replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
