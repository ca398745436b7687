import { describe, expect, it } from "vitest";
import { bytes, change, count, inUnit, labelled, milliseconds, money, share, signed, unlabelled } from "./format";

describe("figures as people read them", () => {
  it("says a dash for what is not known, and never a zero", () => {
    for (const shown of [count, money, milliseconds, share, bytes]) expect([shown(null), shown(undefined)]).toEqual(["–", "–"]);
    expect(inUnit(null, "USD")).toBe("–");
  });
  it("shows money to the cent, and two digits below ten cents", () => {
    expect([1234.5, 12.5, 0.6, 0.0961, 0.0123, 0.00000456, 0, -3.1, 1_234_567].map((each) => money(each))).toEqual([
      "$1,234.50", "$12.50", "$0.60", "$0.10", "$0.012", "$0.0000046", "$0", "-$3.10", "$1.23M",
    ]);
  });
  it("keeps three digits of counts", () => {
    expect([0, 7, 999, 1000, 9_999, 12_345, 1_234_567, 2_500_000_000].map((each) => count(each))).toEqual(["0", "7", "999", "1,000", "9,999", "12.3k", "1.23M", "2.5B"]);
  });
  it("shows times in the unit that fits", () => {
    expect([0.4, 12.4, 999, 1500, 59_999, 90_000].map((each) => milliseconds(each))).toEqual(["0.4 ms", "12 ms", "999 ms", "1.5 s", "60 s", "1.5 min"]);
  });
  it("does not round a small share to nothing", () => {
    expect([0, 0.0004, 0.0123, 0.5, 1].map((each) => share(each))).toEqual(["0 %", "<0.1 %", "1.2 %", "50 %", "100 %"]);
  });
  it("finds a label behind what is shown of it", () => {
    expect([null, "", "a"].map((each) => unlabelled(labelled(each)))).toEqual([null, "", "a"]);
  });
  it("compares only with what there was", () => {
    expect(change(3, 2)).toBe(0.5);
    expect([change(3, 0), change(null, 2), change(3, null)]).toEqual([null, null, null]);
    expect([signed(0.5), signed(-0.031), signed(0.0001), signed(11), signed(null)]).toEqual(["+50 %", "-3.1 %", "no change", "×12", "–"]);
  });
});
