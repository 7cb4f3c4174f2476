// Asks the app: JSON with ETags, so that what has not changed is not sent again.

const root = document.documentElement.dataset;
const kept = new Map(); // address: {tag, body}

export class Refused extends Error {
  constructor(status, message, seconds) {
    super(message);
    this.status = status;
    this.seconds = seconds; // until it may be tried again
  }
}

async function refusal(response) {
  const wait = Number(response.headers.get("Retry-After")) || 0;
  let message = `The server answered ${response.status}.`;
  try {
    message = (await response.json()).message ?? message;
  } catch {
    // a proxy in between answers in its own way
  }
  return new Refused(response.status, message, wait);
}

/** What is at a path below the prefix: {body, changed}. */
export async function read(path) {
  const address = `${root.base}${path}`;
  const known = kept.get(address);
  const headers = known ? { "If-None-Match": known.tag } : {};
  const response = await fetch(address, { headers, cache: "no-store", credentials: "same-origin" });
  if (response.status === 304 && known) return { body: known.body, changed: false };
  // Unhealthy is an answer too.
  if (!response.ok && !(response.status === 503 && path === "/health")) throw await refusal(response);
  const entry = { tag: response.headers.get("ETag"), body: await response.json() };
  kept.set(address, entry);
  return { body: entry.body, changed: true };
}

export function forget() {
  kept.clear();
}

async function send(address, body, method = "POST") {
  const response = await fetch(address, {
    method,
    headers: body ? { "Content-Type": "application/json" } : {},
    body: body ? JSON.stringify(body) : undefined,
    credentials: "same-origin",
  });
  if (!response.ok) throw await refusal(response);
  return response.status === 204 ? null : response.json();
}

export const openSession = (proof) => send(`${root.base}/session`, proof);

export const closeSession = () => send(`${root.base}/session`, null, "DELETE");

export async function logIn(email, password) {
  const answer = await send(root.login, { email, password });
  return openSession({ token: answer.data.token });
}
