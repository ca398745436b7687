// From answers to lines: an even axis of time, gaps that are zero where nothing happened and unknown where nothing is
// known, and the long tail of names folded into one.
import { labelled } from "../format";
import type { Series, SeriesRow, Value } from "../types";
import { OTHERS } from "./colours";

export interface Lines {
  /** seconds since 1970, evenly spaced */
  times: number[];
  names: string[];
  values: Value[][];
  /** seconds between two points */
  step: number;
  /** the last point still gathers calls */
  partial: boolean;
}

export interface Mark {
  /** seconds since 1970 */
  at: number;
  text: string;
  kind: string;
}

// Sums of nothing are nothing; quantiles and shares of nothing are not known.
const ADDITIVE = new Set(["USD", "calls", "tokens", "calls/min", "tokens/min", "tokens/s"]);
const LINES_MAX = 8;

/** Is a sum of nothing nothing? A mean cost has the unit of a sum, and is none. */
function additive(series: Series, measure: string): boolean {
  return ADDITIVE.has(series.measures[measure] ?? "") && !measure.startsWith("cost_per_");
}

function axis(series: Series): number[] {
  const step = series.step_seconds ?? 60;
  const first = Math.floor(Date.parse(series.since) / 1000 / step) * step;
  const end = Date.parse(series.until) / 1000;
  const times: number[] = [];
  for (let at = first; at < end; at += step) times.push(at);
  return times;
}

function named(row: SeriesRow, by: string[]): string {
  return by.map((name) => labelled(row[name] as string | null)).join(" · ");
}

/** The seconds of the range that a point covers: less than a step at either end. */
export function covered(series: Series, at: number): number {
  const step = series.step_seconds ?? 60;
  const since = Math.max(at, Date.parse(series.since) / 1000);
  return Math.max(1, Math.min(at + step, Date.parse(series.until) / 1000) - since);
}

/** One line for each measure. names: what they are called, in order. */
export function ofMeasures(series: Series, measures: string[], names: string[] = measures): Lines {
  const times = axis(series);
  const place = new Map(times.map((at, index) => [at, index]));
  const values = measures.map((measure) => times.map<Value>(() => (additive(series, measure) ? 0 : null)));
  for (const row of series.rows) {
    const index = place.get(Date.parse(String(row["time"])) / 1000);
    if (index === undefined) continue;
    measures.forEach((measure, number) => {
      const line = values[number];
      if (line) line[index] = rated(series, measure, row, times[index] ?? 0);
    });
  }
  return { times, names, values, step: series.step_seconds ?? 60, partial: partial(series, times) };
}

/** One line for each label set of one measure; beyond `most`, the rest is one line where a sum is a sum. */
export function ofLabels(series: Series, measure: string, most = LINES_MAX): Lines {
  const times = axis(series);
  const place = new Map(times.map((at, index) => [at, index]));
  const sums = additive(series, measure);
  const found = new Map<string, { sum: number; line: Value[] }>();
  for (const row of series.rows) {
    const index = place.get(Date.parse(String(row["time"])) / 1000);
    if (index === undefined) continue;
    const name = named(row, series.by);
    let entry = found.get(name);
    if (!entry) {
      entry = { sum: 0, line: times.map<Value>(() => (sums ? 0 : null)) };
      found.set(name, entry);
    }
    const value = rated(series, measure, row, times[index] ?? 0);
    entry.line[index] = value;
    entry.sum += value ?? 0;
  }
  // A name of which nothing is known draws nothing: the shares beside the figures say how much is unknown.
  const known = [...found.entries()].filter(([, entry]) => entry.line.some((value) => value !== null && value !== 0));
  const sorted = known.sort((a, b) => b[1].sum - a[1].sum);
  const fits = sorted.length <= most;
  const kept = fits ? sorted : sorted.slice(0, sums ? most - 1 : most);
  const names = kept.map(([name]) => name);
  const values = kept.map(([, entry]) => entry.line);
  if (!fits && sums) {
    const rest = sorted.slice(most - 1).map(([, entry]) => entry.line);
    names.push(OTHERS);
    values.push(times.map((_, index) => rest.reduce((sum, line) => sum + (line[index] ?? 0), 0)));
  }
  return { times, names, values, step: series.step_seconds ?? 60, partial: partial(series, times) };
}

/** A rate is over what a point covers, not over a step that the range cuts short. */
function rated(series: Series, measure: string, row: SeriesRow, at: number): Value {
  const value = (row[measure] as Value | undefined) ?? null;
  if (value === null || !(series.measures[measure] ?? "").includes("/")) return value;
  return (value * (series.step_seconds ?? 60)) / covered(series, at);
}

function partial(series: Series, times: number[]): boolean {
  const last = times.at(-1);
  return last !== undefined && last + (series.step_seconds ?? 0) > Date.parse(series.until) / 1000;
}
