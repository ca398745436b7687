import { describe, expect, it } from "vitest";
import { csv, curl, placed } from "./export";
import type { Series } from "./types";

const series = (by: string[], rows: Series["rows"], step_seconds: number | null = null): Series => ({
  measures: { calls: "calls", cost_usd: "USD" },
  by,
  since: "2026-11-26T00:00:00Z",
  until: "2026-11-26T01:00:00Z",
  step_seconds,
  table: "minute",
  rows,
});
const cells = (label: string | null) => csv(series(["model"], [{ model: label, calls: 1, cost_usd: -0.5 }])).split("\r\n").slice(1).join("\r\n");

describe("an answer as CSV", () => {
  it("has time, then the dimensions, then the measures, and ends every line", () => {
    const rows = [{ cost_usd: 0.25, model: "m", team: "t", calls: 3, time: "2026-11-26T00:00:00Z" }];
    expect(csv(series(["team", "model"], rows, 60))).toBe("time,team,model,calls,cost_usd\r\n2026-11-26T00:00:00Z,t,m,3,0.25\r\n");
    expect(csv(series([], [{ calls: 3, cost_usd: 0.25 }]))).toBe("calls,cost_usd\r\n3,0.25\r\n");
    expect(csv(series([], []))).toBe("calls,cost_usd\r\n");
  });
  it("leaves empty what is not known, and keeps zero and the empty label apart from it", () => {
    expect(csv(series(["model"], [{ model: null, calls: 0, cost_usd: null }, { model: "", calls: 1 }]))).toBe('model,calls,cost_usd\r\n,0,\r\n"",1,\r\n');
  });
  it("quotes what a comma, a quote or a line break would tear apart", () => {
    expect(cells('a,"b"\nc')).toBe('"a,""b""\nc",1,-0.5\r\n');
  });
  it("lets no label be taken for a formula, and no number be changed by that", () => {
    for (const text of ["=1+1", "+1", "-1", "@SUM(A1)", "\tx"]) expect(cells(text)).toBe(`'${text},1,-0.5\r\n`);
    expect(cells("\rx")).toBe(`"'\rx",1,-0.5\r\n`);
    expect(cells('=HYPERLINK("http://x","y")')).toBe(`"'=HYPERLINK(""http://x"",""y"")",1,-0.5\r\n`);
    expect(cells("a=b")).toBe("a=b,1,-0.5\r\n");
  });
});

describe("the legend of a picture", () => {
  it("goes on in a new row where an entry would not fit, and never before the first", () => {
    expect(placed([60, 60, 60], 150)).toEqual([{ x: 0, row: 0 }, { x: 76, row: 0 }, { x: 0, row: 1 }]);
    expect(placed([900, 10], 150)).toEqual([{ x: 0, row: 0 }, { x: 0, row: 1 }]);
    expect(placed([], 150)).toEqual([]);
  });
});

it("is asked in a shell with a key only where one is needed", () => {
  expect(curl("/api/v1/ask", false, "http://a")).toBe("curl -s 'http://a/api/v1/ask'");
  expect(curl("/api/v1/ask", true, "http://a")).toContain("$TACHOGRAPH_TOKEN");
});
