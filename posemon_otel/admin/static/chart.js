// Generations by time as stacked bars, and the same as a table.

import { count, el, percent, span, svg, table, tick } from "./format.js";

export const STATUSES = [
  ["completed", "Completed"],
  ["partial", "Partial"],
  ["failed", "Failed"],
  ["processing", "Running"],
  ["pending", "Pending"],
];

const HEIGHT = 232;
const LABEL = 64; // what a label on the axis needs
const EDGE = { top: 12, right: 4, bottom: 26, left: 40 };

export function legend() {
  return STATUSES.map(([status, title]) => el("span", { class: "key", "data-status": status }, title));
}

/** A round number of which a few make the axis. */
function roundStep(most) {
  const rough = Math.max(most, 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  return Math.max(1, step);
}

function axis(most, width, y) {
  const step = roundStep(most);
  const lines = [];
  for (let value = 0; value <= Math.ceil(most / step) * step; value += step) {
    lines.push(
      svg("line", { class: value ? "grid" : "base", x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }),
      svg("text", { class: "label", x: EDGE.left - 8, y: y(value) + 4, "text-anchor": "end" }, count(value)),
    );
  }
  return lines;
}

const HOUR = 3600;
const DAY = 24 * HOUR;
const TICKS = [300, 900, 1800, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 91 * DAY, 365 * DAY];

/** Labels at round times of the reader's clock, as many as fit. */
function times(buckets, step, wide) {
  if (!buckets.length) return [];
  const from = new Date(buckets[0].start).getTime();
  const length = buckets.length * step * 1000;
  const every = TICKS.find((candidate) => (length / 1000 / candidate) * LABEL <= wide) ?? TICKS.at(-1);
  const midnight = new Date(from).setHours(0, 0, 0, 0);
  const labels = [];
  for (let number = 0; number * every * 1000 + midnight <= from + length; number += 1) {
    const moment = every < DAY ? new Date(midnight + number * every * 1000) : new Date(midnight);
    if (every >= DAY) moment.setDate(moment.getDate() + (number * every) / DAY); // days are not all 24 hours long
    const at = EDGE.left + ((moment - from) / length) * wide;
    if (at < EDGE.left + LABEL / 4 || at > EDGE.left + wide - LABEL / 4) continue;
    labels.push(svg("text", { class: "label", x: at, y: HEIGHT - 6, "text-anchor": "middle" }, tick(moment, every)));
  }
  return labels;
}

function column(bucket, left, width, y) {
  let below = 0;
  return STATUSES.flatMap(([status]) => {
    const number = bucket.byStatus[status] ?? 0;
    if (!number) return [];
    const top = y(below + number);
    const bar = svg("rect", { class: "part", "data-status": status, x: left, width, y: top, height: y(below) - top });
    below += number;
    return [bar];
  });
}

function hint(bucket, step) {
  const lines = STATUSES.filter(([status]) => bucket.byStatus[status]).map(([status, title]) =>
    el("li", { class: "key", "data-status": status }, title, el("b", null, count(bucket.byStatus[status]))),
  );
  return [
    el("strong", null, span(new Date(bucket.start), step)),
    lines.length ? el("ul", null, lines) : el("p", null, "No generations"),
  ];
}

let pointed = -1; // the step that is pointed at; outlives a new drawing

/** Draws into `box`; pointing at a step, or moving with the arrow keys, tells its numbers. */
export function drawChart(box, series) {
  const { buckets, intervalSeconds: step } = series;
  const width = Math.max(box.clientWidth, 240);
  const wide = width - EDGE.left - EDGE.right;
  const high = HEIGHT - EDGE.top - EDGE.bottom;
  const most = Math.max(1, ...buckets.map((bucket) => bucket.total));
  const top = Math.ceil(most / roundStep(most)) * roundStep(most);
  const slot = wide / Math.max(buckets.length, 1);
  const bar = Math.max(1, Math.min(slot * 0.76, 40));
  const x = (index) => EDGE.left + slot * (index + 0.5);
  const y = (value) => EDGE.top + high - (value / top) * high;

  const marker = svg("rect", { class: "marker", y: EDGE.top, height: high, width: slot, visibility: "hidden" });
  const drawing = svg(
    "svg",
    { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", tabindex: 0, "aria-label": summary(series) },
    marker,
    axis(most, width, y),
    times(buckets, step, wide),
    buckets.map((bucket, index) => svg("g", null, column(bucket, x(index) - bar / 2, bar, y))),
  );
  const tip = el("div", { class: "tip", hidden: true, role: "status" });
  const show = (index) => {
    pointed = index;
    const bucket = buckets[index];
    tip.hidden = !bucket;
    marker.setAttribute("visibility", bucket ? "visible" : "hidden");
    if (!bucket) return;
    marker.setAttribute("x", x(index) - slot / 2);
    tip.replaceChildren(...hint(bucket, step));
    const left = x(index) + 12 + tip.offsetWidth > width ? x(index) - 12 - tip.offsetWidth : x(index) + 12;
    tip.style.left = `${Math.max(0, left)}px`;
  };
  drawing.addEventListener("pointermove", (event) => {
    const at = event.clientX - drawing.getBoundingClientRect().left - EDGE.left;
    show(at < 0 || at >= wide ? -1 : Math.floor(at / slot));
  });
  drawing.addEventListener("pointerleave", () => show(-1));
  drawing.addEventListener("blur", () => show(-1));
  drawing.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: -1, ArrowRight: 1 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const from = pointed < 0 ? (event.key === "ArrowLeft" ? buckets.length : -1) : pointed;
    show(Math.min(buckets.length - 1, Math.max(0, from + moves[event.key])));
  });
  const focused = box.contains(document.activeElement);
  box.replaceChildren(drawing, tip);
  if (focused) drawing.focus();
  show(pointed);
}

function summary(series) {
  const total = series.buckets.reduce((sum, bucket) => sum + bucket.total, 0);
  const failed = series.buckets.reduce((sum, bucket) => sum + (bucket.byStatus.failed ?? 0), 0);
  return `Generations by time: ${count(total)}, of which ${count(failed)} failed. Use the arrow keys, or the table below.`;
}

/** The chart's twin: the same steps, newest first. */
export function chartTable(series) {
  const columns = [
    { title: "Time", cell: (bucket) => span(new Date(bucket.start), series.intervalSeconds) },
    ...STATUSES.map(([status, title]) => ({ title, kind: "number", cell: (bucket) => count(bucket.byStatus[status] ?? 0) })),
    { title: "All", kind: "number", cell: (bucket) => count(bucket.total) },
    { title: "Success", kind: "number", cell: (bucket) => percent(bucket.successRate) },
  ];
  return table(columns, [...series.buckets].reverse(), "Nothing in this period.", "Generations by time");
}
