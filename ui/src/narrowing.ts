// Questions under other conditions than those of the page: one more, or one in the place of another.
import { type Answer, type Question, asked, filters, useAnswer } from "./answers";
import { address } from "./api";
import { within } from "./conditions";
import { current } from "./range";
import type { Series } from "./types";

/** A question under these conditions alone. null: nothing is asked. last: as of `useAnswer`. */
export function useSeriesWhere(question: Question, where: string[] | null, last = false): Answer<Series> {
  const range = question.range ?? current();
  const url = where === null ? null : address("ask", { ...asked({ ...question, where: [] }), where });
  return useAnswer<Series>(url, range.live, last);
}

/** The page's filters and one more condition; null where no call meets both. */
export function narrowedTo(name: string, value: string | null): string[] | null {
  return within(filters(), name, value);
}
