// The dearest on top of one another, and everybody else above them.
import { OTHERS } from "../charts/colours";
import { type Lines, ofLabels, ofMeasures } from "../charts/lines";
import type { Series } from "../types";

export const LINES_MAX = 8;

/** The parts, and what is left of the whole. */
export function stacked(parts: Series | null, all: Series): Lines {
  const whole = ofMeasures(all, ["cost_usd"], [OTHERS]);
  if (parts === null) return whole;
  const some = ofLabels(parts, "cost_usd", LINES_MAX);
  const rest = whole.times.map((at, index) => {
    const place = some.times.indexOf(at);
    const told = some.values.reduce((sum, line) => sum + (line[place] ?? 0), 0);
    return Math.max(0, (whole.values[0]?.[index] ?? 0) - told);
  });
  const total = whole.values[0]?.reduce<number>((sum, each) => sum + (each ?? 0), 0) ?? 0;
  const left = rest.reduce((sum, each) => sum + each, 0);
  // Answers of two moments differ by a call or two: that is not somebody else.
  if (left <= total * 0.001) return some;
  return { ...some, names: [...some.names, OTHERS], values: [...some.values, rest] };
}
