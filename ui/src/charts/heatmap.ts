// From the answer to cells: an even grid of time, and the bands that hold something with one more at either end. Pure.
import { exact, milliseconds } from "../format";
import type { Heat } from "../types";

export interface Cells {
  /** seconds since 1970: the edges of the grid */
  since: number;
  until: number;
  step: number;
  columns: number;
  /** from the fastest to the slowest, in milliseconds */
  bands: { low: number; high: number }[];
  /** column, band, calls */
  cells: [number, number, number][];
  most: number;
}

export function cells(heat: Heat): Cells {
  const step = heat.step_seconds;
  const since = Math.floor(Date.parse(heat.since) / 1000 / step) * step;
  const columns = Math.max(1, Math.ceil((Date.parse(heat.until) / 1000 - since) / step));
  const held = heat.rows.map(([, bucket]) => bucket);
  const least = Math.max(0, held.reduce((a, b) => Math.min(a, b), Infinity) - 1);
  const last = Math.min(heat.buckets.length - 1, held.reduce((a, b) => Math.max(a, b), 0) + 1);
  return {
    since,
    until: since + columns * step,
    step,
    columns,
    bands: heat.rows.length ? heat.buckets.slice(least, last + 1).map((each) => ({ low: each.low_ms, high: each.high_ms })) : [],
    cells: heat.rows.map(([time, bucket, calls]) => [Math.round((time - since) / step), bucket - least, calls]),
    most: heat.rows.reduce((most, [, , calls]) => Math.max(most, calls), 0),
  };
}

/** How dark a cell is: by the logarithm, since a few hundred calls would hide a handful, which are what one looks for. */
export function shade(calls: number, most: number): string {
  return (0.12 + 0.88 * (most <= 1 ? 1 : Math.log(calls) / Math.log(most))).toFixed(3);
}

export interface Cell {
  time: number;
  low: number;
  high: number;
  calls: number;
}

/** What is at a place of the grid; x and y from 0 to 1, y upwards. */
export function cellAt(found: Cells, x: number, y: number): Cell | null {
  const column = Math.floor(x * found.columns);
  const band = Math.floor(y * found.bands.length);
  const edges = found.bands[band];
  if (!edges || column < 0 || column >= found.columns) return null;
  const calls = found.cells.find((each) => each[0] === column && each[1] === band)?.[2] ?? 0;
  return { time: found.since + column * found.step, ...edges, calls };
}

/** What the map shows, for those who do not see it. */
export function summed(found: Cells, what: string): string {
  const sums = new Map<number, number>();
  for (const [, band, calls] of found.cells) sums.set(band, (sums.get(band) ?? 0) + calls);
  const [usual] = [...sums.entries()].sort((a, b) => b[1] - a[1]);
  const slowest = found.bands[Math.max(-1, ...sums.keys())];
  const band = usual === undefined ? undefined : found.bands[usual[0]];
  if (!band || !slowest) return "Nothing is known.";
  const all = [...sums.values()].reduce((sum, each) => sum + each, 0);
  return `${exact(all)} ${what}; most often ${milliseconds(band.low)} to ${milliseconds(band.high)}, at the most ${milliseconds(slowest.high)}.`;
}
