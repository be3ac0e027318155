// SPDX-License-Identifier: GPL-3.0-or-later
// Requests to the API of the PHI Orthanc, and to the Orthancs themselves.

/** Where the PHI Orthanc is, as this browser reaches it. */
export const root = new URL("../../", import.meta.url);
const api = new URL("deid/v1/", root);

const WHAT_TO_DO = {
  401: "You are signed out. Load the page again to sign on.",
  403: "Your account may not do this. Ask an administrator of the site if you need it.",
  404: "This is not there any more. Load the page again.",
  413: "That is too much at once. Send less.",
  429: "Too many requests. Wait a minute and try again.",
  500: "The server failed. Try again; if it fails again, tell an administrator when it happened.",
  502: "The PHI Orthanc does not answer. Try again in a minute.",
  503: "The service does not answer just now. Try again in a minute.",
  504: "The answer took too long. Try again in a minute.",
};

/** A request that did not do what was asked: its message says what happened and what to do. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  /** Whether the same request may work in a moment. */
  get passing() {
    return this.status === 0 || this.status >= 502;
  }
}

const AWAY = "The server cannot be reached. Work that was started goes on there. Check your connection.";

let token;

async function pageToken(again = false) {
  if (!token || again) {
    const answer = await fetch(new URL("page-token", root), { cache: "no-store" });
    if (answer.ok) token = (await answer.json()).token;
  }
  return token;
}

async function send(method, url, content, again = false) {
  const headers = { Accept: "application/json" };
  const request = { method, headers, cache: "no-store", redirect: "error" };
  if (method !== "GET") headers["X-Page-Token"] = await pageToken(again);
  if (content !== undefined) {
    headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(content);
  }
  return fetch(url, request);
}

async function answered(method, url, content) {
  let answer;
  try {
    answer = await patiently(method, () => send(method, url, content));
    // A token holds an hour or two, and dies with a restart of Orthanc.
    if (answer.status === 403 && method !== "GET") answer = await send(method, url, content, true);
  } catch {
    throw new ApiError(0, AWAY);
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => null);
  const message = said?.error ?? WHAT_TO_DO[answer.status] ?? `The server answered ${answer.status}.`;
  throw new ApiError(answer.status, sentence(message));
}

// A laptop that changes its network drops what it asks for just then. To look again does no harm.
const PAUSES = [300, 1000];

async function patiently(method, action) {
  for (const pause of method === "GET" ? PAUSES : []) {
    try {
      return await action();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
  return action();
}

async function request(method, url, content) {
  const answer = await answered(method, url, content);
  try {
    return await answer.json();
  } catch {
    throw new ApiError(500, WHAT_TO_DO[500]);
  }
}

function sentence(text) {
  const words = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(words) ? words : `${words}.`;
}

function at(base, path, parameters = {}) {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

/** GET `/deid/v1/PATH`; returns its JSON, or throws an ApiError. */
export const get = (path, parameters) => request("GET", at(api, path, parameters));

/** POST `/deid/v1/PATH` with a JSON body; returns its JSON, or throws an ApiError. */
export const post = (path, content = {}) => request("POST", at(api, path), content);

/** The same for PUT and DELETE. */
export const put = (path, content = {}) => request("PUT", at(api, path), content);
export const remove = (path) => request("DELETE", at(api, path));

/** POST `/deid/v1/PATH` and save what comes as a file, by the name that the server gives it. */
export async function saveFile(path, content) {
  const answer = await answered("POST", at(api, path), content);
  const broken = new ApiError(0, "The file broke off on its way. Ask for it again.");
  const blob = await answer.blob().catch(() => {
    throw broken;
  });
  // Orthanc ends a file that broke off like any other.
  const whole = await get(`downloads/${answer.headers.get("X-Download")}`).catch(() => null);
  if (whole?.bytes !== blob.size) throw broken;
  const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition"))?.[1] ?? "file";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return { name, size: blob.size };
}

/** The address of a download from the API, for a link. */
export const download = (path, parameters) => at(api, path, parameters).href;

/** Ask an Orthanc itself: `base` is its address, such as `root`. */
export const ask = (base, path, content) =>
  request(content === undefined ? "GET" : "POST", at(base, path), content);

/**
 * Ask again and again until `action` returns false. A lost connection is told to `away` and waited
 * out; any other error ends it and is thrown. Rests while nobody looks at the page.
 */
export async function follow(action, { seconds = 2, away = () => {} } = {}) {
  for (;;) {
    try {
      const more = await action();
      away(null);
      if (!more) return;
    } catch (error) {
      if (!(error instanceof ApiError && error.passing)) throw error;
      away(error);
    }
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    if (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
  }
}
