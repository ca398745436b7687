// Answers that stay fresh: a page says what it asks, and is drawn again when the answer changes.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Failure, type Parameters, address, pulse, request } from "./api";
import { choice, place } from "./place";
import { type Range, current } from "./range";
import { inTurn, placeInTurn } from "./turns";
import type { Series } from "./types";

export interface Answer<T> {
  data: T | null;
  failure: Failure | null;
  /** the first answer is on its way */
  loading: boolean;
  /** and has been for a while */
  slow: boolean;
  /** what is shown is of an earlier question, or could not be asked again */
  stale: boolean;
  /** how long the last answer took, in milliseconds */
  took_ms: number;
  again: () => void;
}

const SLOW_MS = 1000;
const FRESH_MS_MIN = 1000;
// A store that is busy is asked more rarely: thirty times as long as it took. What comes in has the right of way.
const REST_FACTOR = 30;
// Without calls the window moves on all the same.
const IDLE_MS = 20_000;
const REMEMBERED_MAX = 60;

const remembered = new Map<string, unknown>();

function remember(url: string, data: unknown): void {
  remembered.delete(url);
  remembered.set(url, data);
  const oldest = remembered.keys().next().value;
  if (remembered.size > REMEMBERED_MAX && oldest !== undefined) remembered.delete(oldest);
}

export function refreshing(): boolean {
  return choice("refresh", "auto") !== "off";
}

/** The answer to a question; asked again after calls were stored where `live`. url null: nothing is asked. last: after
 * everything else, for what a page can do without, such as the period before. */
export function useAnswer<T>(url: string | null, live = false, last = false): Answer<T> {
  const [, draw] = useState(0);
  const kept = useRef({ url: "", data: null as T | null, failure: null as Failure | null, busy: false, slow: false, took: 0, at: 0 });
  const [turn, setTurn] = useState(0);
  const [order] = useState(() => (last ? Infinity : placeInTurn()));
  const state = kept.current;

  // Before the page is painted: its questions are on their way meanwhile.
  useLayoutEffect(() => {
    if (url === null) return;
    const aborting = new AbortController();
    if (state.url !== url) {
      const known = remembered.get(url) as T | undefined;
      // An earlier answer of the same page stays, marked as stale, until the new one is there.
      if (known !== undefined) state.data = known;
      state.failure = null;
      state.slow = false;
    }
    state.busy = true;
    const began = performance.now();
    const slow = window.setTimeout(() => {
      state.slow = true;
      draw((n) => n + 1);
    }, SLOW_MS);
    draw((n) => n + 1);
    inTurn(order, aborting.signal, () => request<T>(url, { signal: aborting.signal }))
      .then((data) => {
        Object.assign(state, { url, data, failure: null });
        remember(url, data);
      })
      .catch((failure: unknown) => {
        if (aborting.signal.aborted) return;
        state.url = url;
        state.failure = failure instanceof Failure ? failure : new Failure(0, "broken", String(failure));
      })
      .finally(() => {
        window.clearTimeout(slow);
        if (aborting.signal.aborted) return;
        Object.assign(state, { busy: false, slow: false, took: performance.now() - began, at: Date.now() });
        draw((n) => n + 1);
      });
    return () => {
      window.clearTimeout(slow);
      aborting.abort();
    };
  }, [url, turn]);

  useEffect(() => {
    if (!live || url === null) return;
    let seen = pulse.value.count;
    const timer = window.setInterval(() => {
      if (!refreshing() || state.busy || document.hidden) return;
      const rest = Math.max(FRESH_MS_MIN, state.took * REST_FACTOR);
      const waited = Date.now() - state.at;
      if ((pulse.value.count !== seen && waited >= rest) || waited >= Math.max(IDLE_MS, rest)) {
        seen = pulse.value.count;
        setTurn((n) => n + 1);
      }
    }, 250);
    return () => window.clearInterval(timer);
  }, [url, live]);

  const same = state.url === url;
  return {
    data: state.data,
    failure: same ? state.failure : null,
    loading: url !== null && state.data === null && (state.failure === null || !same),
    slow: state.slow,
    stale: state.data !== null && (!same || state.failure !== null),
    took_ms: state.took,
    again: () => setTurn((n) => n + 1),
  };
}

export interface Question {
  measure: string[];
  by?: string[];
  /** in seconds */
  step?: number | null;
  limit?: number;
  order?: string;
  /** beside the filters of the page */
  where?: string[];
  range?: Range;
}

/** The filters of the page, as the API takes them. */
export function filters(): string[] {
  return place.value.query.getAll("where");
}

export function asked(question: Question): Parameters {
  const range = question.range ?? current();
  return {
    measure: question.measure.join(","),
    by: question.by?.length ? question.by.join(",") : null,
    where: [...filters(), ...(question.where ?? [])],
    since: range.since,
    until: range.until,
    step: question.step ? `${question.step}s` : null,
    limit: question.limit,
    order: question.order,
  };
}

/** A question about the calls of the chosen range and filters. null: nothing is asked. */
export function useSeries(question: Question | null, last = false): Answer<Series> {
  const range = question?.range ?? current();
  return useAnswer<Series>(question === null ? null : address("ask", asked(question)), range.live, last);
}
