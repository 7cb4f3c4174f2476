// The page: who is signed in, which period, and asking again while somebody looks.

import { Refused, closeSession, forget, logIn, openSession, read } from "./api.js";
import { chartTable, drawChart, legend } from "./chart.js";
import { ago, refreshTimes } from "./format.js";
import * as view from "./view.js";

const EVERY = 3000;
const SLOWEST = 30000;
const SELDOM = 10; // what changes slowly is asked for in every tenth round

const $ = (id) => document.getElementById(id);
const root = document.documentElement.dataset;
const state = { period: root.period, round: 0, timer: 0, failures: 0, updated: 0, series: null, running: false };

function show(what, live, tone) {
  for (const id of ["board", "sign-in"]) $(id).hidden = id !== what;
  for (const id of ["controls", "overall"]) $(id).hidden = what !== "board";
  say(live, tone);
}

function say(text, tone) {
  if ($("live").textContent !== text) $("live").textContent = text;
  $("live").dataset.tone = tone;
}

function askToSignIn(message) {
  forget();
  root.session = "";
  clearTimeout(state.timer);
  show("sign-in", "Not signed in", "idle");
  $("sign-in-message").hidden = !message;
  $("sign-in-message").textContent = message ?? "";
  (document.querySelector("#sign-in input, #sign-in details[open] textarea") ?? $("sign-in")).focus();
}

function drawSeries() {
  if (!state.series || $("board").hidden) return;
  drawChart($("chart"), state.series);
  if ($("twin").open) $("chart-table").replaceChildren(chartTable(state.series));
}

/** What is asked for in a round: path, and what to do with an answer that is new. */
function questions() {
  const period = `?period=${state.period}`;
  const every = [
    [`/metrics${period}`, (body) => { view.metrics(body); view.warnings(body.warnings); }],
    [`/metrics/indicators${period}`, view.indicators],
    [`/metrics/errors${period}`, view.errors],
    [`/metrics/timeseries${period}`, (body) => {
      state.series = body;
      drawSeries();
    }],
    ["/generations?limit=15", view.latest],
    ["/health", view.health],
  ];
  const seldom = [
    ["/metrics/popular-poses?limit=8", view.poses],
    [`/metrics/top-users?limit=8&period=${state.period}`, view.users],
  ];
  return state.round % SELDOM ? every : [...every, ...seldom];
}

async function round(redraw) {
  const period = state.period;
  const asked = questions();
  const answers = await Promise.all(asked.map(([path]) => read(path)));
  if (period !== state.period) return; // the switch was moved meanwhile
  show("board", "Live", "good");
  answers.forEach(({ body, changed }, index) => { if (changed || redraw) asked[index][1](body); });
  $("users-period").textContent = `last ${state.period}`;
  state.round += 1;
  state.failures = 0;
  state.updated = Date.now();
}

async function refresh(redraw = false) {
  clearTimeout(state.timer);
  if (state.running) return;
  state.running = true;
  let pause = EVERY;
  const period = state.period;
  try {
    await round(redraw);
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return askToSignIn(state.updated ? "Your session has ended." : null);
    if (error instanceof Refused && error.status === 403) {
      await closeSession().catch(() => null);
      return askToSignIn("This account may not see the numbers: they need the role admin.");
    }
    state.failures += 1;
    pause = Math.max(Math.min(EVERY * 2 ** state.failures, SLOWEST), (error.seconds ?? 0) * 1000);
    const since = state.updated ? `, last numbers ${ago(state.updated)}` : "";
    say(error instanceof Refused ? `${error.message}${since}` : `No connection${since}`, "critical");
  } finally {
    state.running = false;
  }
  if (period !== state.period) return refresh(true);
  refreshTimes();
  if (!document.hidden) state.timer = setTimeout(refresh, pause);
}

function choosePeriod(period) {
  state.period = period;
  state.round = 0;
  const address = new URL(location.href);
  address.searchParams.set("period", period);
  history.replaceState(null, "", address);
  refresh(true);
}

/** A link's code stands in the fragment, which is never sent; it leaves the address before anything else. */
async function useLink() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (!code) return null;
  history.replaceState(null, "", location.pathname + location.search);
  try {
    await openSession({ code });
    root.session = "yes";
    return null;
  } catch (error) {
    return error.message;
  }
}

async function begin() {
  const refused = await useLink();
  if (root.session) await refresh(true);
  else askToSignIn(refused);
}

function onSubmit(id, action) {
  $(id)?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      await action(new FormData(form));
      form.reset();
      root.session = "yes";
      state.round = 0;
      await refresh(true);
    } catch (error) {
      askToSignIn(error instanceof Refused ? error.message : "No connection; try again.");
    } finally {
      button.disabled = false;
    }
  });
}

const asked = new URLSearchParams(location.search).get("period");
const radios = [...document.querySelectorAll("#periods input")];
if (radios.some((radio) => radio.value === asked)) state.period = asked;
for (const radio of radios) {
  radio.checked = radio.value === state.period;
  radio.addEventListener("change", () => choosePeriod(radio.value));
}
$("legend").replaceChildren(...legend());
onSubmit("password-form", (form) => logIn(form.get("email"), form.get("password")));
onSubmit("token-form", (form) => openSession({ token: form.get("token").trim() }));
$("sign-out").addEventListener("click", async () => {
  try {
    await closeSession();
  } catch {
    return say("No connection: you are still signed in", "critical");
  }
  state.updated = 0;
  return askToSignIn(null);
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && !$("board").hidden) refresh(); });
window.addEventListener("hashchange", begin);
$("twin").addEventListener("toggle", drawSeries);
new ResizeObserver(drawSeries).observe($("chart"));
begin();
