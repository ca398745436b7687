// When the same requested name began to be answered by another version, and what that did.
import { useMemo } from "preact/hooks";
import { type Answer, filters } from "../answers";
import { TimeChart } from "../charts/TimeChart";
import { ofLabels } from "../charts/lines";
import { useChanges } from "../charts/marks";
import { instead, without } from "../conditions";
import { inUnit, share, signed } from "../format";
import { useSeriesWhere } from "../narrowing";
import { Select, Tabs } from "../parts/Choice";
import { Answered, Panel, Waiting } from "../parts/Panel";
import { Table } from "../parts/Table";
import { choice, href } from "../place";
import { type Range, current, moment, step } from "../range";
import type { Series, VersionChange } from "../types";
import { choices } from "../words";
import { COMPARED, type Compared, compared, enough, keyOf, mood, spans } from "./ModelsComparison";

const SPANS = [
  { value: "3600", title: "1 h" },
  { value: "21600", title: "6 h" },
  { value: "86400", title: "24 h" },
  { value: "604800", title: "7 days" },
];
const SPAN_OTHERWISE = "86400";

export function Changes() {
  const answer = useChanges();
  const changes = [...(answer.data?.changes ?? [])].sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
  const chosen = changes.find((each) => keyOf(each) === choice("change", "")) ?? changes[0];
  const nothing = (
    <div class="nothing">
      <p class="good">No change of version in this range.</p>
      <p class="muted">When a provider lets another version answer to the same name, it is listed here.</p>
    </div>
  );
  return (
    <Panel
      title="Changes of version"
      note={changes.length ? `the same name, answered by another version, in the ${current().title}` : ""}
      wide
      actions={changes.length > 0 && <Select name="span" label="compare" options={SPANS} otherwise={SPAN_OTHERWISE} />}
    >
      <Answered answer={answer} height={260} empty={(data) => data.changes.length === 0} nothing={nothing}>
        {() => (
          <div class="changes">
            <ol class="timeline" aria-label="Changes of version, the newest first">
              {changes.map((each) => (
                <Step key={keyOf(each)} changed={each} chosen={each === chosen} />
              ))}
            </ol>
            {chosen && <Effect key={keyOf(chosen)} changed={chosen} />}
          </div>
        )}
      </Answered>
    </Panel>
  );
}

function Step({ changed, chosen }: { changed: VersionChange; chosen: boolean }) {
  return (
    <li>
      <a href={href("/models", { change: keyOf(changed) })} aria-current={chosen ? "true" : undefined}>
        <time dateTime={changed.at}>{moment(changed.at)}</time>
        <b>{changed.request_model}</b>
        <span>
          <span class="sr">answered by </span>
          <code>{changed.before}</code> <span aria-label="then by">→</span> <code>{changed.after}</code>
        </span>
        <span class="muted">{changed.provider}</span>
      </a>
    </li>
  );
}

/** The filters of the page hold here too, but for those that the comparison itself is about. */
function askedFor(changed: VersionChange): string[] {
  return without(instead(instead(filters(), "provider", changed.provider), "request_model", changed.request_model), "response_model");
}

function useSide(changed: VersionChange, version: string | null, span: { since: string; until: string }, seconds: number): Answer<Series> {
  const range: Range = { ...span, seconds, live: false, title: "" };
  const where = version === null ? askedFor(changed) : instead(askedFor(changed), "response_model", version);
  return useSeriesWhere({ measure: version === null ? ["calls"] : COMPARED, range, ...(version === null ? { by: ["response_model"] } : {}) }, where);
}

function Effect({ changed }: { changed: VersionChange }) {
  const wished = Number(choice("span", SPAN_OTHERWISE)) || Number(SPAN_OTHERWISE);
  const both = useMemo(() => spans(changed.at, wished, Date.now()), [changed.at, wished]);
  const was = useSide(changed, changed.before, both.before, both.seconds);
  const is = useSide(changed, changed.after, both.after, both.seconds);
  const since = useSide(changed, null, both.after, both.seconds);
  return (
    <div class="effect">
      <p class="sentence">
        <b>{changed.request_model}</b> has been answered by <code>{changed.after}</code> since {moment(changed.at)}, before that by <code>{changed.before}</code>. {portion(since.data, changed.after)}
      </p>
      <div class="effect-parts">
        <Answered answer={is} height={300}>
          {(after) =>
            was.data ? <Sides lines={compared(was.data.rows[0], after.rows[0])} changed={changed} seconds={both.seconds} /> : was.failure ? <p class="bad">{was.failure.message}</p> : <Waiting height={300} slow={was.slow} />
          }
        </Answered>
        <Course changed={changed} since={both.before.since} until={both.after.until} seconds={both.seconds * 2} />
      </div>
    </div>
  );
}

/** Whether all calls went over, or the provider still mixes versions. */
function portion(series: Series | null, after: string): string {
  const calls = (series?.rows ?? []).map((row) => [row["response_model"], Number(row["calls"] ?? 0)] as const);
  const total = calls.reduce((sum, [, each]) => sum + each, 0);
  const of = calls.find(([name]) => name === after)?.[1] ?? 0;
  if (!total || of === total) return "";
  return `It answers ${share(of / total)} of the calls since.`;
}

function Sides({ lines, changed, seconds }: { lines: Compared[]; changed: VersionChange; seconds: number }) {
  const hours = seconds >= 172_800 ? `${Math.round(seconds / 86_400)} days` : seconds >= 7200 ? `${(seconds / 3600).toFixed(1).replace(".0", "")} h` : `${Math.round(seconds / 60)} min`;
  if (lines.length === 0) return <p class="nothing">No calls on either side of the change with these filters.</p>;
  return (
    <div>
      <Table
        caption={`${changed.before} in the ${hours} before the change, ${changed.after} in the ${hours} after it`}
        rows={lines}
        rowKey={(line) => line.name}
        columns={[
          { key: "title", title: "figure", cell: (line) => line.title },
          { key: "before", title: `${hours} before`, meaning: changed.before, number: true, cell: (line) => inUnit(line.before, line.unit) },
          { key: "after", title: `${hours} after`, meaning: changed.after, number: true, cell: (line) => inUnit(line.after, line.unit) },
          { key: "moved", title: "change", number: true, cell: (line) => <span class={mood(line) || "muted"}>{signed(line.moved)}</span> },
        ]}
      />
      {!enough(lines) && <p class="muted small">Few calls on one side: these figures may be chance.</p>}
    </div>
  );
}

const COURSES = choices(["duration_p95_ms", "ttft_p95_ms", "cost_per_call_usd", "error_rate", "calls"]);

interface CourseProperties {
  changed: VersionChange;
  since: string;
  until: string;
  seconds: number;
}

function Course({ changed, since, until, seconds }: CourseProperties) {
  const measure = choice("course", "duration_p95_ms");
  const range: Range = { since, until, seconds, live: false, title: "" };
  const answer = useSeriesWhere({ measure: [measure], by: ["response_model"], step: step(range, 60), range }, askedFor(changed));
  const lines = useMemo(() => (answer.data ? ofLabels(answer.data, Object.keys(answer.data.measures)[0] ?? "calls") : null), [answer.data]);
  const title = COURSES.find((each) => each.value === measure)?.title ?? measure;
  const marks = useMemo(() => [{ at: Date.parse(changed.at) / 1000, text: changed.after, kind: "model" }], [changed]);
  return (
    <div class="course-of-change">
      <Tabs name="course" label="Figure over time" options={COURSES} otherwise="duration_p95_ms" />
      <Answered answer={answer} height={240} empty={(series) => series.rows.length === 0}>
        {(series) => lines && <TimeChart lines={lines} unit={series.measures[measure] ?? Object.values(series.measures)[0] ?? "1"} title={`${title} by version`} marks={marks} height={230} />}
      </Answered>
    </div>
  );
}
