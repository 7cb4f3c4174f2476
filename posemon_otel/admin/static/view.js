// The sections of the page, each made from one answer.

import { STATUSES } from "./chart.js";
import { NOTHING, count, el, measure, percent, pill, seconds, share, svg, table, time } from "./format.js";

const fill = (id, ...nodes) => document.getElementById(id).replaceChildren(...nodes.flat());

/** Where a value lies between the bounds: three zones and a mark. */
function scale(indicator) {
  const { direction, good, critical } = indicator.thresholds;
  const higher = direction === "higher_is_better";
  const [low, high] = higher ? [critical - (100 - critical), 100] : [0, critical * 1.5];
  const at = (value) => ((Math.min(high, Math.max(low, value)) - low) / (high - low)) * 100;
  const zones = higher
    ? [["critical", low, critical], ["warning", critical, good], ["good", good, high]]
    : [["good", low, good], ["warning", good, critical], ["critical", critical, high]];
  const marks = indicator.value === null ? [] : [svg("rect", { class: "mark", x: `${at(indicator.value)}%`, y: 0, width: 4, height: 14, rx: 2 })];
  return svg(
    "svg",
    { class: "scale", height: 14, "aria-hidden": "true" },
    zones.map(([state, from, to]) =>
      svg("rect", { class: "zone", "data-state": state, x: `${at(from)}%`, width: `${at(to) - at(from)}%`, y: 5, height: 4 }),
    ),
    marks,
  );
}

function bounds(indicator) {
  const { direction, good, critical } = indicator.thresholds;
  const unit = { percent: " %", s: " s" }[indicator.unit] ?? "";
  return direction === "higher_is_better"
    ? `good above ${good}${unit}, critical below ${critical}${unit}`
    : `good below ${good}${unit}, critical above ${critical}${unit}`;
}

export function indicators(answer) {
  fill(
    "indicators",
    answer.indicators.map((indicator) => {
      const [number, unit] = measure(indicator.value, indicator.unit);
      return el(
        "article",
        { class: "card indicator", "data-state": indicator.status, "data-key": indicator.key },
        el("div", { class: "head" }, el("h3", { title: indicator.meaning }, indicator.title), pill(indicator.status)),
        el("p", { class: "value" }, number, unit ? el("span", { class: "unit" }, unit) : null),
        scale(indicator),
        el("p", { class: "hint" }, bounds(indicator)),
      );
    }),
  );
}

export function warnings(lines) {
  fill("warnings", lines.map((line) => el("p", { class: "notice" }, line.charAt(0).toUpperCase() + line.slice(1) + ".")));
}

function outcomeBar(parts, total) {
  let from = 0;
  return svg(
    "svg",
    { class: "outcome-bar", height: 10, "aria-hidden": "true" },
    parts.map(([status, , number]) => {
      const wide = (number / total) * 100;
      const part = svg("rect", { class: "part", "data-status": status, x: `${from}%`, width: `${wide}%`, height: 10 });
      from += wide;
      return part;
    }),
  );
}

export function metrics(answer) {
  const counts = {
    completed: answer.completedGenerations,
    partial: answer.partialGenerations,
    failed: answer.failedGenerations,
    processing: answer.activeGenerations,
    pending: answer.pendingGenerations,
  };
  const parts = STATUSES.map(([status, title]) => [status, title, counts[status]]);
  const ended = parts.filter(([status]) => status !== "processing" && status !== "pending");
  const total = parts.reduce((sum, [, , number]) => sum + number, 0);
  const rows = table(
    [
      { title: "Outcome", cell: ([status, title]) => el("span", { class: "key", "data-status": status }, title) },
      { title: "Generations", kind: "number", cell: ([, , number]) => count(number) },
      { title: "Of those ended", kind: "number", cell: (part) => (ended.includes(part) ? of(part[2], ended) : NOTHING) },
    ],
    parts,
    "",
    "Generations by outcome",
  );
  fill("outcomes", total ? outcomeBar(parts, total) : [], rows);
  const numbers = [
    ["Generations", count(answer.totalGenerations)],
    ["Poses rendered", count(answer.totalPosesGenerated)],
    ["Poses a generation", count(answer.avgPosesPerGeneration)],
    ["Time a pose", seconds(answer.avgGenerationTime)],
    ["Credits charged", count(answer.totalCreditsSpent)],
    ["Credits refunded", `${count(answer.totalCreditsRefunded)} (${percent(answer.refundRate)})`],
    ["Jobs waiting", count(answer.queueWaiting)],
    ["Jobs active", count(answer.queueActive)],
    ["Jobs delayed", count(answer.queueDelayed)],
    ["Jobs failed", count(answer.queueFailed)],
  ];
  fill("numbers", numbers.map(([name, value]) => el("div", null, el("dt", null, name), el("dd", null, value))));
}

function of(number, parts) {
  const sum = parts.reduce((before, [, , next]) => before + next, 0);
  return sum ? share((100 * number) / sum) : NOTHING;
}

function meter(value) {
  return svg(
    "svg",
    { class: "meter", width: 64, height: 6, "aria-hidden": "true" },
    svg("rect", { class: "track", width: 64, height: 6, rx: 3 }),
    svg("rect", { class: "fill", width: Math.max(2, (value / 100) * 64), height: 6, rx: 3 }),
  );
}

const metered = (value, text) => el("span", { class: "with-meter" }, meter(value), el("span", null, text));

export function errors(answer) {
  const columns = [
    { title: "Type", cell: (error) => el("code", null, error.errorType) },
    { title: "Count", kind: "number", cell: (error) => count(error.count) },
    { title: "Share", kind: "share", cell: (error) => metered(error.share, share(error.share)) },
    { title: "Last", cell: (error) => time(error.lastOccurred) },
    { title: "Retry helps", kind: "wide", cell: (error) => (error.retryable ? "yes" : "no") },
  ];
  fill("errors", table(columns, answer.errors, "No failures in this period.", "Errors by type"));
}

export function latest(answer) {
  const columns = [
    { title: "Created", cell: (item) => time(item.createdAt) },
    { title: "Status", cell: (item) => el("span", { class: "key", "data-status": item.status }, nameOf(item.status)) },
    { title: "Generation", cell: identity },
    { title: "Poses", kind: "number", cell: (item) => `${count(item.posesCompleted)} / ${count(item.expectedPoses)}` },
    { title: "Time a pose", kind: "number", cell: (item) => seconds(item.avgGenerationTime) },
    { title: "Error", cell: (item) => (item.errorType ? el("code", null, item.errorType) : NOTHING) },
    { title: "Model", kind: "wide", cell: (item) => item.model?.split("/").at(-1) },
    { title: "User", kind: "wide", cell: (item) => item.userId },
    { title: "Credits", kind: "number wide", cell: (item) => count(item.creditsCharged - item.creditsRefunded) },
  ];
  fill("latest", table(columns, answer.generations, "No generations yet.", "Latest generations"));
}

function identity(item) {
  const title = item.traceId ? `${item.id}, trace ${item.traceId}` : item.id;
  return el("span", { title }, el("code", null, item.id), item.sample ? el("span", { class: "tag" }, "sample") : null);
}

const nameOf = (status) => STATUSES.find(([known]) => known === status)?.[1] ?? status;

export function poses(answer) {
  const most = Math.max(1, ...(answer.poses ?? []).map((pose) => pose.usageCount));
  const columns = [
    { title: "Pose", cell: (pose) => pose.name },
    { title: "Category", kind: "wide", cell: (pose) => pose.category },
    {
      title: "Used",
      kind: "share",
      cell: (pose) => metered((100 * pose.usageCount) / most, count(pose.usageCount)),
    },
  ];
  fill("poses", table(columns, answer.poses ?? [], answer.warnings?.[0] ?? "No public poses.", "Popular poses"));
}

export function users(answer) {
  const columns = [
    { title: "User", cell: (user) => user.name ?? user.userId },
    { title: "Generations", kind: "number", cell: (user) => count(user.generationCount) },
    { title: "Poses", kind: "number", cell: (user) => count(user.totalPoses) },
    { title: "Success", kind: "number", cell: (user) => percent(user.successRate) },
  ];
  fill("users", table(columns, answer.users, "Nobody in this period.", "Top users"));
}

const PARTS = {
  database: "Database", redis: "Redis", queue: "Queue", workers: "Workers",
  flux: "FLUX", storage: "Storage", controlNet: "ControlNet", journal: "Journal",
};

export function health(answer) {
  fill("health-status", pill(answer.status));
  fill("overall", pill(answer.status));
  fill(
    "health",
    Object.entries(answer.checks).map(([name, state]) =>
      el(
        "li",
        null,
        el("div", { class: "head" }, el("b", null, PARTS[name] ?? name), pill(state)),
        answer.details?.[name] ? el("p", { class: "hint" }, answer.details[name]) : null,
      ),
    ),
  );
}
