// Arithmetic of failures: shares and rates against the period before; the two periods as two lines.
import type { Lines } from "../charts/lines";
import type { Series, SeriesRow, Value } from "../types";

export interface Failing {
  value: string | null;
  errors: number;
  /** of all errors */
  share: number;
  /** errors by calls of the same name; null where a name has no calls that succeed, such as a fault domain */
  rate: number | null;
  rateBefore: number | null;
  errorsBefore: number;
  calls: number | null;
}

const number = (row: SeriesRow | undefined, name: string): number => Number((row?.[name] as Value | undefined) ?? 0);

/** Who fails, the most errors first. is, was: errors (and calls) by `by`; was null while it is not known. */
export function failing(is: Series, was: Series | null, by: string): Failing[] {
  const earlier = new Map((was?.rows ?? []).map((row) => [row[by] ?? null, row]));
  const rated = "error_rate" in is.measures;
  const total = is.rows.reduce((sum, row) => sum + number(row, "errors"), 0);
  const rate = (row: SeriesRow | undefined): number | null => (rated && row ? ((row["error_rate"] as Value | undefined) ?? null) : null);
  return is.rows
    .map((row) => {
      const value = (row[by] as string | null | undefined) ?? null;
      const before = earlier.get(value);
      const errors = number(row, "errors");
      return { value, errors, share: total ? errors / total : 0, rate: rate(row), rateBefore: rate(before), errorsBefore: number(before, "errors"), calls: rated ? number(row, "calls") : null };
    })
    .filter((each) => each.errors > 0 || each.errorsBefore > 0)
    .sort((a, b) => b.errors - a.errors);
}

/** The period before laid under this one, point by point from the first. */
export function together(is: Lines, was: Lines | null, names: [string, string]): Lines {
  const [now] = is.values;
  const [then] = was?.values ?? [];
  const values = [now ?? [], ...(then ? [is.times.map((_, index) => then[index] ?? null)] : [])];
  return { ...is, names: then ? names : [names[0]], values };
}

/** Points of a share: four digits of it, in points of a hundred. */
export function points(is: number | null, was: number | null): string {
  if (is === null || was === null) return "–";
  const moved = (is - was) * 100;
  if (Math.abs(moved) < 0.05) return "no change";
  return `${moved > 0 ? "+" : "−"}${Math.abs(moved).toFixed(Math.abs(moved) < 10 ? 1 : 0)} points`;
}
