// What Explore asks, from what the address says: which measures, by what, over which labels, how wide a point is.
import { type Label, instead, valuesOf } from "../conditions";
import { labelled } from "../format";
import type { Series, SeriesRow } from "../types";

export const LINES_MAX = 8;
export const ROWS_MAX = 500;
const DAY_SECONDS = 86_400;

/** Several measures that are looked at together, by the word that stands for them in the address. */
export const FAMILIES: Record<string, { title: string; measures: string[] }> = Object.fromEntries(
  [
    ["duration", "Latency percentiles"],
    ["ttft", "First token percentiles"],
    ["itl", "Between tokens percentiles"],
    ["tpot", "Time per output token percentiles"],
  ].map(([of, title]) => [`${of}_percentiles`, { title: title ?? "", measures: ["p50", "p90", "p95", "p99"].map((level) => `${of}_${level}_ms`) }]),
);

/** The latency that the heat map shows where none is measured. */
export function heatOf(measure: string): string {
  const found = /^(duration|ttft|itl|tpot)_/.exec(measure);
  return `${found?.[1] ?? "duration"}_ms`;
}

export function measuresOf(choice: string): string[] {
  return FAMILIES[choice]?.measures ?? choice.split(",").filter((each) => each !== "");
}

export function dimensionsOf(choice: string): string[] {
  return [...new Set(choice.split(",").filter((each) => each !== ""))].slice(0, 2);
}

const KNOWN_BY_DAY = new Set(["team", "project", "service"]);

/** The width of a point, in seconds: over weeks, who asks is summed by the day. */
export function wide(usual: number, rangeSeconds: number, dimensions: string[]): number {
  const byDay = rangeSeconds > 8 * DAY_SECONDS && dimensions.some((each) => KNOWN_BY_DAY.has(each));
  return byDay ? Math.max(usual, DAY_SECONDS) : usual;
}

/** The conditions under which only the largest labels are asked over time; the page's own where there are few. */
export function narrowedToTop(conditions: string[], by: string[], rows: SeriesRow[]): string[] {
  const [name] = by;
  if (by.length !== 1 || name === undefined || valuesOf(conditions, name) !== null) return conditions;
  const labels = rows.slice(0, LINES_MAX).map((row) => row[name] as Label);
  return rows.length <= LINES_MAX ? conditions : instead(conditions, name, labels);
}

export function keyOf(row: SeriesRow, by: string[]): string {
  return by.map((name) => String(row[name])).join("\n");
}

export function nameOf(row: SeriesRow, by: string[]): string {
  return by.map((name) => labelled(row[name] as string | null)).join(" · ");
}

/** The label that a line of the chart stands for, by one dimension; undefined where it stands for several. */
export function labelOf(name: string, rows: SeriesRow[], by: string[]): string | null | undefined {
  const [only] = by;
  const row = by.length === 1 && only !== undefined ? rows.find((each) => nameOf(each, by) === name) : undefined;
  return row && only !== undefined ? (row[only] as string | null) : undefined;
}

const ADDITIVE = new Set(["USD", "calls", "tokens"]);

/** Do the labels' figures add up to the whole? */
export function addsUp(series: Series, measure: string): boolean {
  return ADDITIVE.has(series.measures[measure] ?? "") && !measure.startsWith("cost_per_");
}
