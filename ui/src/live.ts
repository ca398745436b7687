// Calls the moment they are stored. In: the filters of the page. Out: calls, the newest last, a few times a second and
// never more than fit on the screen; how many the server left out; whether the stream is open.
// The browser connects again by itself and says which event it saw last; a stream that was refused is asked for again
// here.
import { address } from "./api";
import type { Call } from "./types";

/** Calls are handed over together: drawing for each would stop the page at some hundred a second. */
export const FLUSH_MS = 200;
export const CALLS_AT_ONCE_MAX = 1000;
const AGAIN_MS = 5000;

export interface Hearer {
  calls: (calls: Call[]) => void;
  /** so many calls came that the server left some out */
  dropped: (calls: number) => void;
  /** open: what is stored from now on is heard; `missed`: something may have been stored while it was not */
  opened: (missed: boolean) => void;
  closed: () => void;
}

/** Texts of events, kept until they are taken: the newest, without end. */
export class Gathered {
  private texts: string[] = [];

  add(text: string): void {
    this.texts.push(text);
    // twice as many before the old ones go, so that it is not done for each
    if (this.texts.length > 2 * CALLS_AT_ONCE_MAX) this.texts = this.texts.slice(-CALLS_AT_ONCE_MAX);
  }

  take(): Call[] {
    const texts = this.texts.slice(-CALLS_AT_ONCE_MAX);
    this.texts = [];
    return texts.flatMap(parsed);
  }
}

function parsed(text: string): Call[] {
  try {
    return [JSON.parse(text) as Call];
  } catch {
    return [];
  }
}

/** How many calls an event says were left out. */
export function left(text: string): number {
  try {
    const told = (JSON.parse(text) as { calls?: unknown } | null)?.calls;
    return typeof told === "number" ? told : 0;
  } catch {
    return 0;
  }
}

/** Listen until the answer is called. */
export function follow(where: string[], hearer: Hearer): () => void {
  const gathered = new Gathered();
  let source: EventSource | null = null;
  let flushing = 0;
  let retrying = 0;
  let seen = false;

  const flush = () => {
    flushing = 0;
    const calls = gathered.take();
    if (calls.length) hearer.calls(calls);
  };
  const open = () => {
    source = new EventSource(address("calls/stream", { where }));
    // Without a last event the server cannot know what was missed: the page asks.
    source.onopen = () => hearer.opened(!seen);
    source.onerror = () => {
      hearer.closed();
      if (source?.readyState !== EventSource.CLOSED) return;
      seen = false;
      retrying = window.setTimeout(open, AGAIN_MS);
    };
    source.addEventListener("call", (event) => {
      seen = true;
      gathered.add(event.data as string);
      flushing ||= window.setTimeout(flush, FLUSH_MS);
    });
    source.addEventListener("dropped", (event) => hearer.dropped(left(event.data as string)));
  };
  open();
  return () => {
    window.clearTimeout(flushing);
    window.clearTimeout(retrying);
    source?.close();
  };
}
