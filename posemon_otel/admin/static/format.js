// Elements and texts. Nothing from the server ever becomes markup: texts are text nodes.

const SVG = "http://www.w3.org/2000/svg";

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

export const el = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

const LOCALE = "en-GB";
const whole = new Intl.NumberFormat(LOCALE);
const decimal = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 1 });
const precise = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 2 });
const clock = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium", timeStyle: "medium" });

export const NOTHING = "–";

export const count = (number) => (number === null || number === undefined ? NOTHING : whole.format(number));
export const percent = (number) => (number === null || number === undefined ? NOTHING : `${precise.format(number)} %`);
export const share = (number) => `${decimal.format(number)} %`;

export function seconds(number) {
  if (number === null || number === undefined) return NOTHING;
  return number < 100 ? `${decimal.format(number)} s` : `${decimal.format(number / 60)} min`;
}

/** A value in an indicator's unit, as number and unit. */
export function measure(value, unit) {
  if (value === null) return [NOTHING, ""];
  const signs = { percent: "%", s: "s" };
  return [(unit === "percent" ? precise : decimal).format(value), signs[unit] ?? unit];
}

/** A moment on an axis whose steps are so many seconds long. */
export function tick(moment, step) {
  return step >= 86400 || (moment.getHours() === 0 && moment.getMinutes() === 0) ? day.format(moment) : clock.format(moment);
}

/** A step of time, in words. */
export function span(start, step) {
  const end = new Date(start.getTime() + step * 1000);
  if (step >= 86400) return step > 86400 ? `${day.format(start)} to ${day.format(end)}` : day.format(start);
  return `${day.format(start)}, ${clock.format(start)} to ${clock.format(end)}`;
}

export function ago(moment, now = Date.now()) {
  const passed = Math.max(0, Math.round((now - moment) / 1000));
  if (passed < 5) return "now";
  if (passed < 60) return `${passed} s ago`;
  if (passed < 3600) return `${Math.floor(passed / 60)} min ago`;
  if (passed < 86400) return `${Math.floor(passed / 3600)} h ago`;
  return `${Math.floor(passed / 86400)} d ago`;
}

/** A time that keeps telling how long ago it was; `refreshTimes` moves it on. */
export function time(text) {
  if (!text) return NOTHING;
  const moment = new Date(text);
  return el("time", { datetime: text, title: full.format(moment) }, ago(moment));
}

export function refreshTimes() {
  for (const node of document.querySelectorAll("time")) {
    const shown = ago(new Date(node.dateTime));
    if (node.textContent !== shown) node.textContent = shown;
  }
}

const words = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export const pill = (state) => el("span", { class: "pill", "data-state": state }, words(state));

/** A table; columns are {title, cell, kind}, kind "number" or "wide" (not shown where there is little room). */
export function table(columns, rows, empty, caption) {
  if (!rows.length) return el("p", { class: "empty" }, empty);
  const head = columns.map((column) => el("th", { scope: "col", class: column.kind }, column.title));
  const body = rows.map((row) =>
    el("tr", null, columns.map((column) => el("td", { class: column.kind }, column.cell(row) ?? NOTHING))),
  );
  return el(
    "table",
    null,
    caption ? el("caption", { class: "unseen" }, caption) : null,
    el("thead", null, el("tr", null, head)),
    el("tbody", null, body),
  );
}
