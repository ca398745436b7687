import { describe, expect, test } from "vitest";
import { gapBars, lastContent, missing, stretches } from "./CallTimes";

const sent = { duration_ms: 1000, headers_ms: 150, server_ms: null, queue_ms: null, status: 200, outcome: "ok" };
const streamed = { ...sent, ttft_ms: 200, chunks: 4, itl_mean_ms: 100, itl_buckets: [0, 0, 3], streamed: true };
const plain = { ...streamed, ttft_ms: null, chunks: null, itl_mean_ms: null, itl_buckets: null, streamed: false };

describe("the course of a call", () => {
  test("of a stream whose gaps are all known: headers, wait, content, end", () => {
    expect(stretches(streamed).map(({ from, to, kind }) => [kind, from, to])).toEqual([
      ["headers", 0, 150],
      ["before", 150, 200],
      ["content", 200, 500],
      ["ending", 500, 1000],
    ]);
  });
  test("of an answer whose headers nobody saw: they are left out, and it is said; where none came there is nothing to say", () => {
    for (const call of [streamed, plain]) {
      const unseen = { ...call, headers_ms: null };
      expect(stretches(unseen)[0]).toMatchObject({ kind: "before", from: 0, to: call.ttft_ms ?? 1000 });
      expect(missing(unseen).join(" ")).toContain("when its headers came");
      expect([missing(call), missing({ ...unseen, status: null })].join(" ")).not.toContain("headers");
    }
  });
  test("of a stream that lacks a gap: where the content ended is not made up", () => {
    const lacking = { ...streamed, itl_buckets: [0, 0, 2] };
    expect(lastContent(lacking)).toBeNull();
    expect(stretches(lacking).map(({ from, to }) => [from, to])).toEqual([[0, 150], [150, 200], [200, 1000]]);
    expect(missing(lacking).join(" ")).toContain("Not every gap is known");
  });
  test("of one piece: headers, answer, and no gap", () => {
    expect(stretches(plain).map(({ from, to, kind }) => [kind, from, to])).toEqual([["headers", 0, 150], ["before", 150, 1000]]);
    expect(missing(plain).join(" ")).toContain("not streamed");
  });
  test("of nothing known: nothing is drawn, and it is said", () => {
    const unknown = { ...plain, duration_ms: null, headers_ms: null };
    expect(stretches(unknown)).toEqual([]);
    expect(missing(unknown).join(" ")).toContain("how long it took");
  });
  test("what the provider states is beside, and never part of the sum", () => {
    const stated = stretches({ ...plain, server_ms: 700, queue_ms: 0 });
    expect(stated.filter(({ kind }) => kind === "stated").map(({ to }) => to)).toEqual([0, 700]);
    expect(missing({ ...plain, server_ms: 700, queue_ms: 0 }).join(" ")).not.toContain("did not say");
  });
});

describe("the gaps by length", () => {
  test("every gap is in one bar, between the bounds of its buckets", () => {
    const bars = gapBars([1, 0, 0, 0, 0, 4, 2]);
    expect(bars.reduce((sum, { gaps }) => sum + gaps, 0)).toBe(7);
    expect(bars[0]).toEqual({ over: 0, upTo: 2 ** 0.25, gaps: 1 });
    expect(bars.map(({ gaps }) => gaps)).toEqual([1, 0, 4, 2]);
    for (const [at, bar] of bars.entries()) if (at) expect(bar.over).toBe(bars[at - 1]?.upTo);
  });
  test("the last bucket has no upper end", () => {
    expect(gapBars([...new Array<number>(80).fill(0), 1]).at(-1)?.upTo).toBeNull();
  });
  test("no gap, no bar", () => {
    expect(gapBars(null)).toEqual([]);
    expect(gapBars([0, 0])).toEqual([]);
  });
});
