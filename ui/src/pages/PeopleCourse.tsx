// The cost over time of the dearest, and of everybody else together.
import { useMemo } from "preact/hooks";
import { filters, useSeries } from "../answers";
import { TimeChart } from "../charts/TimeChart";
import { OTHERS } from "../charts/colours";
import { type Lines, ofLabels, ofMeasures } from "../charts/lines";
import { useMarks } from "../charts/marks";
import { useSeriesWhere } from "../conditions";
import { narrow } from "../parts/Filters";
import { Answered, Panel } from "../parts/Panel";
import { current, step } from "../range";
import type { Series } from "../types";
import { level, top } from "./PeopleLevels";

const LINES_MAX = 8;

export function Course({ by }: { by: string }) {
  const marks = useMarks();
  const wide = step(current(), 80);
  // Which they are is asked first: of ten thousand users, eight are read over time.
  const dearest = useSeries({ measure: ["cost_usd"], by: [by], limit: LINES_MAX, order: "-cost_usd" });
  const fits = dearest.data?.by[0] === by;
  const names = fits && dearest.data ? top(dearest.data.rows, by, LINES_MAX) : [];
  const where = names.length ? [...filters().filter((each) => !each.startsWith(`${by}=`)), `${by}=${names.join(",")}`] : null;
  const parts = useSeriesWhere({ measure: ["cost_usd"], by: [by], step: wide }, where);
  const all = useSeries({ measure: ["cost_usd"], step: wide });
  const lines = useMemo(() => (all.data ? stacked(parts.data?.by[0] === by && where ? parts.data : null, all.data) : null), [parts.data, all.data, by, where === null]);
  return (
    <Panel title="Cost over time" note={names.length === LINES_MAX ? `the ${LINES_MAX} dearest ${level(by).word}s` : ""} wide>
      <Answered answer={all} height={270} empty={(series) => series.rows.length === 0}>
        {() => lines && <TimeChart lines={lines} unit="USD" title={`Cost by ${level(by).word}`} stacked marks={marks} onPick={(name) => narrow(by, value(name))} />}
      </Answered>
    </Panel>
  );
}

function value(name: string): string | null {
  return name === "(none)" ? "" : name === "(unknown)" ? null : name;
}

/** The parts, and what is left of the whole. */
export function stacked(parts: Series | null, all: Series): Lines {
  const whole = ofMeasures(all, ["cost_usd"], [OTHERS]);
  if (parts === null) return whole;
  const some = ofLabels(parts, "cost_usd", LINES_MAX);
  const rest = whole.times.map((at, index) => {
    const place = some.times.indexOf(at);
    const told = some.values.reduce((sum, line) => sum + (line[place] ?? 0), 0);
    return Math.max(0, (whole.values[0]?.[index] ?? 0) - told);
  });
  const total = whole.values[0]?.reduce<number>((sum, each) => sum + (each ?? 0), 0) ?? 0;
  const left = rest.reduce((sum, each) => sum + each, 0);
  // Answers of two moments differ by a call or two: that is not somebody else.
  if (left <= total * 0.001) return some;
  return { ...some, names: [...some.names, OTHERS], values: [...some.values, rest] };
}
