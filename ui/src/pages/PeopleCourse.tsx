// The cost over time of the dearest, and of everybody else together.
import { useMemo } from "preact/hooks";
import { filters, useSeries } from "../answers";
import { TimeChart } from "../charts/TimeChart";
import { OTHERS } from "../charts/colours";
import { useMarks } from "../charts/marks";
import { type Label, instead } from "../conditions";
import { unlabelled } from "../format";
import { useSeriesWhere } from "../narrowing";
import { narrow } from "../parts/Filters";
import { Answered, Panel } from "../parts/Panel";
import { current, step } from "../range";
import { level } from "./PeopleLevels";
import { LINES_MAX, stacked } from "./PeopleStack";

export function Course({ by }: { by: string }) {
  const marks = useMarks();
  const wide = step(current(), 80);
  // Which they are is asked first: of ten thousand users, eight are read over time.
  const dearest = useSeries({ measure: ["cost_usd"], by: [by], limit: LINES_MAX, order: "-cost_usd" });
  const fits = dearest.data?.by[0] === by;
  const names = fits && dearest.data ? dearest.data.rows.map((row) => row[by] as Label) : [];
  const where = names.length ? instead(filters(), by, names) : null;
  const parts = useSeriesWhere({ measure: ["cost_usd"], by: [by], step: wide }, where);
  const all = useSeries({ measure: ["cost_usd"], step: wide });
  const lines = useMemo(() => (all.data ? stacked(parts.data?.by[0] === by && where ? parts.data : null, all.data) : null), [parts.data, all.data, by, where === null]);
  return (
    <Panel title="Cost over time" note={names.length === LINES_MAX ? `the ${LINES_MAX} dearest ${level(by).word}s` : ""} wide>
      <Answered answer={all} height={270} empty={(series) => series.rows.length === 0}>
        {() => lines && <TimeChart lines={lines} unit="USD" title={`Cost by ${level(by).word}`} stacked marks={marks} onPick={(name) => name !== OTHERS && narrow(by, unlabelled(name))} />}
      </Answered>
    </Panel>
  );
}
