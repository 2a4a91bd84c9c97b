// The chart on top: what is going on now, out of GET /metrics. Where that is not to be had, the chart goes.

import { byId, setText, svg } from "./dom.js";
import { duration, number } from "./format.js";
import { between, buckets, parseMetrics, quantile, total } from "./metrics.js";

const EVERY_SECONDS = 5;
const KEPT = 60; // samples, five minutes
const failed = ({ outcome }) => !["completed", "incomplete", "requires_action"].includes(outcome);

let samples = []; // oldest first

class Refused extends Error {}

export function startActivityChart() {
  document.addEventListener("login", () => next(0));
  document.addEventListener("visibilitychange", () => document.hidden || next(0));
  next(0);
}

let timer = 0;

function next(seconds) {
  clearTimeout(timer);
  timer = setTimeout(look, seconds * 1000);
}

async function look() {
  if (document.hidden) return;
  try {
    take(parseMetrics(await read()));
    byId("activity").hidden = false;
    draw();
  } catch (error) {
    // Nobody counts here, or not for us: asked again only much later. Anything else is the banner's to tell.
    if (error instanceof Refused) {
      byId("activity").hidden = true;
      next(60);
      return;
    }
  }
  next(EVERY_SECONDS);
}

async function read() {
  const answer = await fetch("metrics", { headers: { Accept: "text/plain" } });
  if ([401, 403, 404].includes(answer.status)) throw new Refused();
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.text();
}

function take(families) {
  const sample = {
    at: Date.now(),
    now: total(families, "gateway_turns_under_way"),
    waiting: total(families, "gateway_turns_waiting"),
    turns: total(families, "gateway_turns_total"),
    errors: total(families, "gateway_turns_total", failed),
    first: buckets(families, "gateway_first_word_seconds"),
    whole: buckets(families, "gateway_turn_seconds"),
  };
  // Counters that fell begin anew: another gateway, or the same one after a restart.
  if (samples.length && sample.turns < samples.at(-1).turns) samples = [];
  samples = [...samples, sample].slice(-KEPT);
}

// --- Drawing --------------------------------------------------------------------------------------------------

function draw() {
  const last = samples.at(-1);
  const steps = samples.slice(1).map((sample, index) => [samples[index], sample]);
  const window = samples.length > 1 && last.turns > samples[0].turns ? samples[0] : null;

  show("now", number(last.now), last.waiting ? `${number(last.waiting)} waiting` : "");
  plot("now", [
    line(
      samples.map((sample) => sample.now + sample.waiting),
      "second",
    ),
    line(samples.map((sample) => sample.now)),
  ]);

  const recent = samples.find((sample) => last.at - sample.at <= 61000) || last;
  const minutes = Math.max(last.at - recent.at, 1) / 60000;
  show("rate", recent === last ? "–" : number(Math.round((last.turns - recent.turns) / minutes)), "");
  plot("rate", [line(steps.map(([before, after]) => (after.turns - before.turns) / (after.at - before.at)))]);

  for (const name of ["first", "whole"]) {
    const histogram = window ? between(last[name], window[name]) : last[name];
    const slow = quantile(0.95, histogram);
    show(name, duration(quantile(0.5, histogram)), Number.isFinite(slow) ? `95 % ${duration(slow)}` : "");
    byId(`tile-${name}`).title =
      `Median and 95th percentile, ${window ? "of the last minutes" : "since the gateway's start"}`;
    const parts = steps.map(([before, after]) => between(after[name], before[name]));
    plot(name, [
      line(
        parts.map((part) => quantile(0.95, part)),
        "second",
      ),
      line(parts.map((part) => quantile(0.5, part))),
    ]);
  }

  const errors = last.errors - (window || last).errors;
  show("errors", number(window ? errors : last.errors), window ? "in 5 min" : "since start");
  byId("tile-errors").classList.toggle("alarming", window !== null && errors > 0);
  plot("errors", [line(steps.map(([before, after]) => after.errors - before.errors))]);
}

function show(name, value, aside) {
  const tile = byId(`tile-${name}`);
  setText(tile.querySelector(".value"), value);
  setText(tile.querySelector(".aside"), aside);
}

const line = (values, kind = "first") => ({ values, kind });

/** Lines over the same time and the same height, the newest value at the right edge. What is unknown is left out. */
function plot(name, lines) {
  const highest = Math.max(...lines.flatMap(({ values }) => values.filter(Number.isFinite)), Number.EPSILON);
  byId(`tile-${name}`)
    .querySelector(".plot")
    .replaceChildren(
      ...lines.flatMap(({ values, kind }) => {
        const points = values
          .map((value, index) => [
            100 - ((values.length - 1 - index) * 100) / (KEPT - 1),
            28.5 - (26 * value) / highest,
          ])
          .filter(([, y]) => Number.isFinite(y));
        if (points.length < 2) return [];
        const path = points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
        const area = `M${points[0][0].toFixed(1)} 30L${path}L100 30Z`;
        return [
          ...(kind === "first" ? [svg("path", { class: "area", d: area })] : []),
          svg("path", { class: `line ${kind}`, d: `M${path}` }),
        ];
      }),
    );
}
