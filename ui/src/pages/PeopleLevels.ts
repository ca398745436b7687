// By whom the cost is told, in the order in which one narrows it; and the rows of the table.
import { type Label, read } from "../conditions";
import { change } from "../format";
import type { Series, SeriesRow, Value } from "../types";
import { choices, inline } from "../words";

export interface Level {
  value: string;
  title: string;
  /** "of no ..." */
  word: string;
}

export const LEVELS: Level[] = choices(["team", "project", "feature", "customer", "user_id"]).map((each) => ({ ...each, word: inline(each.value) }));

export const MEASURES = ["cost_usd", "calls", "total_tokens", "error_rate", "cost_per_call_usd"];

export function level(value: string): Level {
  return LEVELS.find((each) => each.value === value) ?? (LEVELS[0] as Level);
}

const NEXT: Record<string, string[]> = {
  team: ["feature", "customer", "user_id", "project"],
  project: ["feature", "customer", "user_id", "team"],
  feature: ["customer", "user_id", "team"],
  customer: ["user_id", "feature", "team"],
  user_id: ["feature", "customer", "team"],
};

/** What one looks at after narrowing to one of `from`: the first that the page is not narrowed to yet. */
export function next(from: string, narrowed: string[]): string {
  return (NEXT[from] ?? []).find((each) => !narrowed.includes(each)) ?? from;
}

export interface Crumb {
  name: string;
  values: Label[];
  /** the conditions that lead back to here */
  where: string[];
}

/** The steps by which the page was narrowed, in their order; going back to one takes out the later ones. */
export function crumbs(conditions: string[]): Crumb[] {
  const names = LEVELS.map((each) => each.value);
  const split = conditions.map(read);
  return split.flatMap(({ name, values }, index) =>
    names.includes(name) ? [{ name, values, where: conditions.filter((_, other) => other <= index || !names.includes(split[other]?.name ?? "")) }] : [],
  );
}

export interface Spent {
  key: string;
  labels: (string | null)[];
  is: SeriesRow;
  cost: Value;
  /** of the cost of all, where that is known */
  share: number | null;
  was: Value;
  moved: number | null;
  fresh: boolean;
}

const label = (row: SeriesRow, name: string): string | null => (row[name] as string | null | undefined) ?? null;
const figure = (row: SeriesRow | undefined, name: string): Value => (row?.[name] as Value | undefined) ?? null;

/** The rows with their share of `total` and what they cost before. was: null while that is not known. */
export function spent(is: Series, was: Series | null, by: string[], total: Value): Spent[] {
  const keyOf = (row: SeriesRow) => JSON.stringify(by.map((name) => label(row, name)));
  const earlier = new Map((was?.rows ?? []).map((row) => [keyOf(row), row]));
  return is.rows.map((row) => {
    const key = keyOf(row);
    const before = earlier.get(key);
    const cost = figure(row, "cost_usd");
    return {
      key,
      labels: by.map((name) => label(row, name)),
      is: row,
      cost,
      share: total && cost !== null ? cost / total : null,
      was: figure(before, "cost_usd"),
      moved: change(cost, figure(before, "cost_usd")),
      fresh: was !== null && before === undefined,
    };
  });
}

