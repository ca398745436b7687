// Conditions as the API takes them, NAME=VALUE, each name once: what a page is narrowed to, and what a part of it adds.
import { type Answer, type Question, asked, filters, useAnswer } from "./answers";
import { address } from "./api";
import { current } from "./range";
import type { Series } from "./types";

export type Condition = [name: string, value: string | null];

function written(name: string, value: string | null): string {
  return `${name}=${value === null ? "null" : value}`;
}

/** The values that a name is narrowed to; null where it is not. */
export function valuesOf(conditions: string[], name: string): string[] | null {
  const found = conditions.find((each) => each.startsWith(`${name}=`));
  return found === undefined ? null : found.slice(name.length + 1).split(",");
}

/** Both: the conditions and one more. null where no call meets both. */
export function within(conditions: string[], name: string, value: string | null): string[] | null {
  const said = valuesOf(conditions, name);
  if (said !== null && !said.includes(value === null ? "null" : value)) return null;
  return instead(conditions, name, value);
}

/** The condition in the place of the one of the same name. */
export function instead(conditions: string[], name: string, value: string | null): string[] {
  return [...conditions.filter((each) => !each.startsWith(`${name}=`)), written(name, value)];
}

/** A question under these conditions alone. null: nothing is asked. */
export function useSeriesWhere(question: Question, where: string[] | null): Answer<Series> {
  const range = question.range ?? current();
  const url = where === null ? null : address("ask", { ...asked({ ...question, where: [] }), where });
  return useAnswer<Series>(url, range.live);
}

/** The page's filters and one more condition; null where no call meets both. */
export function narrowedTo(name: string, value: string | null): string[] | null {
  return within(filters(), name, value);
}
