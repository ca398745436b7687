import { afterEach, expect, test, vi } from "vitest";
import { address, listen, pulse, request } from "./api";

/** The browser's own is not in Node: this one is opened by the test. */
class Source {
  static last: Source;
  onopen = () => {};
  onerror = () => {};
  constructor(readonly url: string) {
    Source.last = this;
  }
  addEventListener() {}
  close() {}
}

afterEach(() => vi.unstubAllGlobals());

test("what was answered before the pulse is open is asked again, and nothing else is", async () => {
  vi.stubGlobal("EventSource", Source);
  vi.stubGlobal("fetch", () => Promise.resolve(new Response("{}")));
  listen();
  await request(address("session"));
  const before = pulse.value.count;
  Source.last.onopen();
  expect(pulse.value).toMatchObject({ count: before, connected: true });
  await request(address("ask"));
  Source.last.onerror();
  expect(pulse.value.connected).toBe(false);
  Source.last.onopen();
  expect(pulse.value).toMatchObject({ count: before + 1, connected: true });
});
