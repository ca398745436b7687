// Errors over time: stacked by what they differ in, or as a rate against the period before.
import { useMemo } from "preact/hooks";
import { useSeries } from "../answers";
import { TimeChart } from "../charts/TimeChart";
import { OTHERS } from "../charts/colours";
import { ofLabels, ofMeasures } from "../charts/lines";
import { useMarks } from "../charts/marks";
import { unlabelled } from "../format";
import { useSeriesWhere } from "../narrowing";
import { Tabs } from "../parts/Choice";
import { narrow } from "../parts/Filters";
import { Answered, Panel } from "../parts/Panel";
import { choice } from "../place";
import { before, current, step } from "../range";
import { choices, inline, title } from "../words";
import { together } from "./ErrorsCounts";
import { shownAs } from "./ErrorsWords";

export const SPLITS = choices(["error_type", "provider", "model", "response_model"]);
export const GOOD = <p class="nothing good">No errors in this range.</p>;

export function Course({ failed }: { failed: string[] }) {
  const shown = choice("shown", "count");
  const options = [
    { value: "count", title: "Count" },
    { value: "rate", title: "Rate" },
  ];
  const actions = (
    <>
      <Tabs name="shown" label="Count or rate" options={options} otherwise="count" />
      {shown === "count" && <Tabs name="by" label="Errors by" options={SPLITS} otherwise="error_type" />}
    </>
  );
  return (
    <Panel title="Over time" note={shown === "rate" ? `errors by calls, against ${before(current()).title}` : ""} wide actions={actions}>
      {shown === "rate" ? <Rate /> : <Count failed={failed} />}
    </Panel>
  );
}

function Count({ failed }: { failed: string[] }) {
  const by = choice("by", "error_type");
  const marks = useMarks();
  const answer = useSeriesWhere({ measure: ["errors"], by: [by], step: step(current(), 100) }, failed);
  const lines = useMemo(() => (answer.data ? ofLabels(answer.data, "errors") : null), [answer.data]);
  const names = lines?.names ?? [];
  const shown = useMemo(() => (lines ? { ...lines, names: lines.names.map((name) => shownAs(answer.data?.by[0] ?? "", name)) } : null), [lines]);
  const pick = (line: string) => {
    const name = names[shown?.names.indexOf(line) ?? -1];
    if (name !== undefined && name !== OTHERS) narrow(by, unlabelled(name));
  };
  return (
    <Answered answer={answer} height={260} empty={(series) => series.rows.length === 0} nothing={GOOD}>
      {(series) => shown && <TimeChart lines={shown} unit="calls" title={`Errors by ${series.by.map(inline).join()}`} stacked marks={marks} onPick={pick} />}
    </Answered>
  );
}

function Rate() {
  const range = current();
  const marks = useMarks();
  const question = { measure: ["error_rate"], step: step(range, 80) };
  const is = useSeries(question);
  const was = useSeries({ ...question, range: before(range) });
  const lines = useMemo(() => {
    if (!is.data) return null;
    const earlier = was.data && !was.stale ? ofMeasures(was.data, ["error_rate"]) : null;
    return together(ofMeasures(is.data, ["error_rate"]), earlier, ["now", "the period before"]);
  }, [is.data, was.data, was.stale]);
  return (
    <Answered answer={is} height={260} empty={(series) => series.rows.length === 0}>
      {() => lines && <TimeChart lines={lines} unit="1" title={title("error_rate")} marks={marks} />}
    </Answered>
  );
}
