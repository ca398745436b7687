import { describe, expect, test } from "vitest";
import { FLAGS, sentence } from "./CallFlags";
import { part } from "../words";
import { partsOf } from "./CallParts";
import { around, traceAddress } from "./CallWays";

const nothing = {
  ...{ input_uncached: null, cache_read: null, cache_write_5m: null, cache_write_1h: null, cache_write_other: null, output_visible: null, output_reasoning: null },
  ...{ audio_input: null, audio_output: null, image_input: null, image_output: null },
};

describe("the tokens", () => {
  test("parts add up to the whole, and what lies within them is not added", () => {
    const found = partsOf({ ...nothing, input_uncached: 60, cache_read: 20, output_visible: 20, audio_input: 50 });
    expect(found.total).toBe(100);
    expect(found.parts.map(({ name, share }) => [name, share])).toEqual([["input_uncached", 0.6], ["cache_read", 0.2], ["output_visible", 0.2]]);
    expect(found.within).toEqual([{ title: "input: audio", tokens: 50 }]);
  });
  test("a measured zero is a part; unknown is none and is said", () => {
    const found = partsOf({ ...nothing, output_visible: 0 });
    expect(found.parts).toHaveLength(1);
    expect(found.parts[0]?.share).toBe(0);
    expect(found.untold).toHaveLength(6);
  });
  test("what is paid for has a name, also where nobody gave it one", () => {
    expect(part("cache_read")).toBe("cache read");
    expect(part("web_search")).toBe("web search");
  });
});

describe("ways elsewhere", () => {
  test("a trace's address needs the place of its id, and a scheme that is followed", () => {
    expect(traceAddress("https://jaeger.example/trace/{trace_id}?span={span_id}", "aa", "bb")).toBe("https://jaeger.example/trace/aa?span=bb");
    expect(traceAddress("https://jaeger.example/", "aa", null)).toBeNull();
    expect(traceAddress("javascript:alert('{trace_id}')", "aa", null)).toBeNull();
  });
  test("the days around a moment", () => {
    expect(around("2026-11-26T05:00:00.123456Z")).toEqual({ since: "2026-11-25T05:00:00Z", until: "2026-11-27T05:00:00Z" });
  });
});

// The words that the recording, reading and pricing of a call may put among its flags.
const SOURCES = import.meta.glob<string>("../../../src/tachograph/**/*.py", { query: "?raw", import: "default", eager: true });
const ADDED = /(?:flags\.add\(|\.flag\(|_lose\(|flags\[|\bflags = \()"([a-z_0-9]+)"/g;

describe("flags", () => {
  const code = Object.values(SOURCES).join("\n");
  test("each that the code sets has a sentence", () => {
    const set = new Set([...code.matchAll(ADDED)].map((found) => found[1] ?? ""));
    expect(set.size).toBeGreaterThan(20);
    expect([...set].filter((flag) => sentence(flag) === null)).toEqual([]);
  });
  test("none is explained that the code never sets", () => {
    expect(FLAGS.filter((flag) => !code.includes(`"${flag}"`))).toEqual([]);
  });
});
