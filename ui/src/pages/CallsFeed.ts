// The calls of the page: its first page, what is loaded after it, and what the stream brings. While the reader reads,
// new calls wait, so that nothing moves; they are counted, and one click brings them.
import { useEffect, useRef, useState } from "preact/hooks";
import { Failure, address, pulse, request } from "../api";
import { refreshing } from "../answers";
import { follow } from "../live";
import { current } from "../range";
import type { Call, CallPage } from "../types";
import { CALLS_MAX, type Kept, merged, with_ } from "./CallsList";

const PAGE = 100;
const SLOW_MS = 1000;
const CATCH_UP_MS = 1000;
const LISTEN_MS = 300;
const FRESH_MS = 1600;
const RATE_MS = 5000;

export interface Feed extends Kept {
  /** false until the first page is there */
  asked: boolean;
  failure: Failure | null;
  slow: boolean;
  /** the first page, or the next, is on its way */
  busy: boolean;
  /** what is shown answers an earlier question */
  stale: boolean;
  waiting: number;
  /** left out by the server since the list was loaded */
  dropped: number;
  stream: "off" | "opening" | "open";
  perSecond: number;
  /** calls that have just come */
  fresh: ReadonlySet<string>;
  more: () => void;
  reload: () => void;
  bring: () => void;
}

interface State extends Kept {
  key: string;
  asked: boolean;
  failure: Failure | null;
  slow: boolean;
  busy: boolean;
  waiting: Call[];
  waitingCount: number;
  dropped: number;
  stream: Feed["stream"];
  heard: [number, number][];
  fresh: Set<string>;
}

const empty = (): State => ({
  ...{ key: "", calls: [], next: null, asked: false, failure: null, slow: false, busy: false },
  ...{ waiting: [], waitingCount: 0, dropped: 0, stream: "off", heard: [], fresh: new Set() },
});

/** after: where the list begins; empty: with the newest. held: is the reader reading? */
export function useFeed(where: string[], after: string, held: () => boolean): Feed {
  const range = current();
  const live = range.live && after === "";
  const following = live && refreshing();
  const [turn, setTurn] = useState(0);
  const [, draw] = useState(0);
  const kept = useRef<State>(empty());
  const state = kept.current;
  const key = JSON.stringify([where, range.since, range.until, after]);
  const redraw = () => draw((n) => n + 1);
  const page = (from: string, signal?: AbortSignal) =>
    request<CallPage>(address("calls", { where, since: range.since, until: range.until, limit: PAGE, after: from || null }), signal ? { signal } : {});

  /** Ask for a page and take it in; busy and slow meanwhile, failed where it fails. */
  const load = (from: string, first: boolean): (() => void) => {
    const aborting = new AbortController();
    Object.assign(state, { busy: true, slow: false, failure: null });
    const slow = window.setTimeout(() => {
      state.slow = true;
      redraw();
    }, SLOW_MS);
    redraw();
    page(from, aborting.signal)
      .then((found) => {
        if (first) Object.assign(state, { dropped: 0, fresh: new Set() });
        Object.assign(state, { key, asked: true, next: found.next_after, calls: merged(first ? [] : state.calls, found.calls) });
        if (first && state.waiting.length) bring();
      })
      .catch((failure: unknown) => {
        if (aborting.signal.aborted) return;
        state.failure = failure instanceof Failure ? failure : new Failure(0, "broken", String(failure));
      })
      .finally(() => {
        window.clearTimeout(slow);
        if (aborting.signal.aborted) return;
        Object.assign(state, { busy: false, slow: false });
        redraw();
      });
    return () => {
      window.clearTimeout(slow);
      aborting.abort();
    };
  };

  const bring = () => {
    const now = with_(state, state.waiting);
    const known = new Set(state.calls.map((call) => call.call_id));
    const come = now.calls.filter((call) => !known.has(call.call_id)).map((call) => call.call_id);
    Object.assign(state, now, { waiting: [], waitingCount: 0, fresh: new Set(come) });
    redraw();
    window.setTimeout(() => {
      for (const id of come) state.fresh.delete(id);
      redraw();
    }, FRESH_MS);
  };

  /** Calls that were stored: on the list at once, unless the reader reads. */
  const come = (calls: Call[]) => {
    const loaded = state.key === key;
    const known = new Set([...(loaded ? state.calls : []), ...state.waiting].map((call) => call.call_id));
    const fits = calls.filter((call) => !known.has(call.call_id));
    state.waiting = merged(state.waiting, fits).slice(0, CALLS_MAX);
    state.waitingCount += fits.length;
    if (loaded && state.waiting.length && !held()) bring();
    else redraw();
  };

  const stop = useRef<() => void>(() => {});
  const begin = useRef<() => boolean>(() => false);

  useEffect(() => {
    Object.assign(state, { waiting: [], waitingCount: 0, dropped: 0, heard: [] });
    state.stream = following ? "opening" : "off";
    redraw();
    if (state.stream === "off") return;
    let [catching, ended] = [0, false];
    const catchUp = () => {
      catching ||= window.setTimeout(async () => {
        const found = await page("").catch(() => null);
        catching = 0;
        if (found && !ended) come(found.calls);
      }, 50);
    };
    const away = follow(where, {
      calls: (calls) => {
        const now = Date.now();
        state.heard = [...state.heard.filter(([at]) => now - at < RATE_MS), [now, calls.length]];
        come(calls);
      },
      dropped: (calls) => {
        state.dropped += calls;
        redraw();
      },
      opened: (missed) => {
        state.stream = "open";
        if (!begin.current() && missed) catchUp();
        redraw();
      },
      closed: () => {
        state.stream = "opening";
        redraw();
      },
    });
    // Without the stream the list is asked for when calls were stored; and what waited comes when the reader is done.
    let seen = pulse.value.count;
    const watching = window.setInterval(() => {
      if (state.key === key && state.waiting.length && !held()) bring();
      if (state.stream !== "open" && pulse.value.count !== seen) {
        seen = pulse.value.count;
        catchUp();
      } else if (state.heard.length) {
        state.heard = state.heard.filter(([at]) => Date.now() - at < RATE_MS);
        if (!state.heard.length) redraw();
      }
    }, CATCH_UP_MS);
    return () => {
      ended = true;
      window.clearTimeout(catching);
      window.clearInterval(watching);
      away();
    };
  }, [key, following]);

  // Listening begins before the list is asked for, so that no call falls between; a stream that is late is not waited for.
  useEffect(() => {
    let begun = false;
    begin.current = () => {
      if (begun) return false;
      begun = true;
      stop.current();
      stop.current = load(after, true);
      return true;
    };
    const late = window.setTimeout(begin.current, state.stream === "opening" ? LISTEN_MS : 0);
    return () => {
      window.clearTimeout(late);
      begun = true;
      stop.current();
    };
  }, [key, turn]);

  return {
    ...{ calls: state.calls, next: state.next, asked: state.asked, failure: state.failure, slow: state.slow, busy: state.busy },
    ...{ stale: state.asked && state.key !== key },
    ...{ waiting: state.waitingCount, dropped: state.dropped, stream: state.stream, fresh: state.fresh },
    perSecond: state.heard.reduce((sum, [, calls]) => sum + calls, 0) / (RATE_MS / 1000),
    more: () => {
      if (state.busy || state.next === null || state.calls.length >= CALLS_MAX) return;
      stop.current();
      stop.current = load(state.next, false);
    },
    reload: () => setTurn((n) => n + 1),
    bring,
  };
}
