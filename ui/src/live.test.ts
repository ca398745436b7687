import { expect, test } from "vitest";
import { CALLS_AT_ONCE_MAX, Gathered, left } from "./live";

test("events are handed over once, in the order in which they came", () => {
  const gathered = new Gathered();
  gathered.add('{"call_id":"a"}');
  gathered.add('{"call_id":"b"}');
  expect(gathered.take().map((call) => call.call_id)).toEqual(["a", "b"]);
  expect(gathered.take()).toEqual([]);
});

test("an event that cannot be read costs no other", () => {
  const gathered = new Gathered();
  gathered.add("{");
  gathered.add('{"call_id":"b"}');
  expect(gathered.take().map((call) => call.call_id)).toEqual(["b"]);
});

test("of more than fit, the newest are kept", () => {
  const gathered = new Gathered();
  for (let at = 0; at < 5 * CALLS_AT_ONCE_MAX; at += 1) gathered.add(`{"call_id":"${at}"}`);
  const calls = gathered.take();
  expect(calls).toHaveLength(CALLS_AT_ONCE_MAX);
  expect(calls.at(-1)?.call_id).toBe(String(5 * CALLS_AT_ONCE_MAX - 1));
  expect(calls[0]?.call_id).toBe(String(4 * CALLS_AT_ONCE_MAX));
});

test("what was left out is a number or nothing", () => {
  expect(left('{"calls": 231}')).toBe(231);
  expect(left('{"calls": "many"}')).toBe(0);
  expect(left("null")).toBe(0);
  expect(left("")).toBe(0);
});
