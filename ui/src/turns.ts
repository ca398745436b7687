// Questions one after another, those from the top of the page first: a store answers a few at a time sooner than all at
// once, and what is looked at first shall be there first.
const IN_FLIGHT_MAX = 2;

interface Waiting {
  order: number;
  begin: () => void;
}

let inFlight = 0;
let orders = 0;
const waiting: Waiting[] = [];

/** The place in the queue of a part of the page: parts are drawn from the top, and keep their place. */
export function placeInTurn(): number {
  return (orders += 1);
}

function next(): void {
  while (inFlight < IN_FLIGHT_MAX && waiting.length > 0) {
    waiting.sort((one, other) => Number(one.order > other.order) - Number(one.order < other.order));
    inFlight += 1;
    waiting.shift()?.begin();
  }
}

/** What `ask` answers, once it is its turn; an AbortError where it was given up before. */
export function inTurn<T>(order: number, signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const mine: Waiting = {
      order,
      begin: () => {
        signal.removeEventListener("abort", left);
        ask()
          .then(resolve, reject)
          .finally(() => {
            inFlight -= 1;
            next();
          });
      },
    };
    const left = () => {
      waiting.splice(waiting.indexOf(mine), 1);
      reject(new DOMException("given up", "AbortError"));
    };
    if (signal.aborted) return reject(new DOMException("given up", "AbortError"));
    signal.addEventListener("abort", left, { once: true });
    waiting.push(mine);
    // All parts of a page ask in the same moment: the first of them is known after it.
    queueMicrotask(next);
  });
}
