// The server's answers, and its errors as a person can use them.
import { setServerTime } from "./format.js";

/** What a page was opened for. Airflow 3.1 leaves values unencoded, so a raw "+" is a plus here. */
export function pageQuery(search = window.location.search) {
  const values = {};
  for (const part of search.replace(/^\?/, "").split("&")) {
    const [, name, raw] = /^([^=]*)=?(.*)$/s.exec(part);
    if (!name) continue;
    let value = raw;
    try {
      value = decodeURIComponent(raw);
    } catch {
      // Not encoded: the text as it is.
    }
    values[name] = value;
  }
  if ("map_index" in values && !/^-?\d+$/.test(values.map_index)) values.map_index = "-1";
  return values;
}

/** A query string; lists repeat the name, empty values are left out. */
export function queryString(values) {
  const parts = [];
  for (const [name, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one === null || one === undefined || one === "") continue;
      parts.push(`${name}=${encodeURIComponent(one)}`);
    }
  }
  return parts.join("&");
}

/** An error with what to do about it. */
export class ApiError extends Error {
  constructor(title, advice, status = 0) {
    super(title);
    this.advice = advice;
    this.status = status;
  }
}

async function errorOf(answer) {
  let detail = "";
  try {
    const body = await answer.json();
    detail = typeof body.detail === "string" ? body.detail : JSON.stringify(body.detail ?? "");
  } catch {
    // Not JSON: the status says enough.
  }
  if (answer.status === 401) return new ApiError("You are logged out", "Log in to Airflow again, then reload this page.", 401);
  if (answer.status === 403) return new ApiError("You may not see these clips", detail || "Ask an administrator for the right to read these DAGs.", 403);
  if (answer.status === 422) return new ApiError("The filters cannot be used", detail || "Clear the filters and try again.", 422);
  return new ApiError(`The server answered ${answer.status}`, detail || "Try again in a minute.", answer.status);
}

async function get(path, signal) {
  let answer;
  try {
    answer = await fetch(path, { signal, credentials: "same-origin", headers: { Accept: "application/json" } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("Airflow cannot be reached", "Check the network, then try again. What is shown may be out of date.");
  }
  if (!answer.ok) throw await errorOf(answer);
  let body;
  try {
    body = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("You are logged out", "Log in to Airflow again, then reload this page.", 401);
  }
  setServerTime(body.now);
  return body;
}

/** A page of clips, newest first, with the sums and the choices of the filters. */
export function getClips(query, signal) {
  return get(`api/clips?${queryString(query)}`, signal);
}

/** Some clips again. */
export function getUpdates(ids) {
  return get(`api/updates?${queryString({ id: ids })}`);
}
