// The state of the traffic in ten seconds: what it costs, how much, how fast, what fails, and what changed most.
import { useMemo } from "preact/hooks";
import { type Answer, useSeries } from "../answers";
import { TimeChart } from "../charts/TimeChart";
import { OTHERS } from "../charts/colours";
import { type Mark, ofLabels, ofMeasures } from "../charts/lines";
import { useEvents } from "../charts/marks";
import { inUnit, milliseconds, share, unlabelled } from "../format";
import { narrowedTo, useSeriesWhere } from "../narrowing";
import { Bar } from "../parts/Bar";
import { Tabs } from "../parts/Choice";
import { Figure } from "../parts/Figure";
import { narrow } from "../parts/Filters";
import { Answered, Panel } from "../parts/Panel";
import { choice, href } from "../place";
import { before, current, step } from "../range";
import type { Series, SeriesRow, Value } from "../types";
import { choices, inline, title } from "../words";
import { Events } from "./Events";
import { Movers } from "./Movers";
import { Versions } from "./Versions";

const TOTALS = [
  "cost_usd",
  "calls",
  "total_tokens",
  "tokens_per_minute",
  "error_rate",
  "duration_p50_ms",
  "duration_p95_ms",
  "duration_p99_ms",
  "ttft_p50_ms",
  "ttft_p95_ms",
  "itl_p50_ms",
  "itl_p95_ms",
  "cache_hit_rate",
  "unpriced_share",
  "estimated_share",
  "unattributed_share",
];
const COMPARED = ["cost_usd", "calls", "tokens_per_minute", "error_rate", "duration_p95_ms", "ttft_p95_ms", "itl_p95_ms", "cache_hit_rate"];
const COURSE = ["cost_usd", "calls", "tokens_per_minute", "error_rate", "duration_p50_ms", "duration_p95_ms", "duration_p99_ms", "ttft_p95_ms", "itl_p95_ms", "cache_hit_rate"];

export function Overview() {
  const range = current();
  const now = useSeries({ measure: TOTALS });
  const was = useSeries({ measure: COMPARED, range: before(range) }, true);
  const course = useSeries({ measure: COURSE, step: step(range) });
  // asked once for all parts of the page
  const marks = useEvents();
  return (
    <>
      <Bar title="Overview" />
      <div class="grid">
        <Answered answer={now} height={130} empty={(series) => !series.rows[0]?.["calls"]}>
          {(series) => <Figures is={series.rows[0] ?? {}} was={was.stale ? undefined : was.data?.rows[0]} course={course.data} />}
        </Answered>
        <Trust is={now.data?.rows[0]} />
        <Spending marks={marks} />
        <Movers />
        <Latency course={course} marks={marks} />
        <Traffic course={course} marks={marks} />
        <Versions />
        <Events events={marks} />
      </div>
    </>
  );
}

const value = (row: SeriesRow | undefined, name: string): Value | undefined => row?.[name] as Value | undefined;

interface FiguresProperties {
  is: SeriesRow;
  was: SeriesRow | undefined;
  course: Series | null;
}

function Figures({ is, was, course }: FiguresProperties) {
  const lines = useMemo(() => (course ? ofMeasures(course, COURSE) : null), [course]);
  const line = (name: string): Value[] => {
    const found = lines?.values[COURSE.indexOf(name)] ?? [];
    return lines?.partial ? found.slice(0, -1) : found;
  };
  const both = (name: string) => ({ value: value(is, name), ...(was === undefined ? {} : { was: value(was, name) ?? null }) });
  return (
    <div class="figures">
      <Figure title={title("cost_usd")} unit="USD" {...both("cost_usd")} course={line("cost_usd")} more="bad" href={href("/explore", { measure: "cost_usd", by: "model" })} meaning="of the calls whose price is known" />
      <Figure title={title("calls")} unit="calls" {...both("calls")} course={line("calls")} href={href("/calls")} />
      <Figure title={title("tokens_per_minute")} unit="tokens/min" {...both("tokens_per_minute")} course={line("tokens_per_minute")} href={href("/explore", { measure: "tokens_per_minute", by: "model" })} beside={`${inUnit(value(is, "total_tokens"), "tokens")} in all`} />
      <Figure title={title("error_rate")} unit="1" {...both("error_rate")} course={line("error_rate")} more="bad" href={href("/errors")} />
      <Figure title={title("duration_p95_ms")} unit="ms" {...both("duration_p95_ms")} course={line("duration_p95_ms")} more="bad" href={href("/explore", { measure: "duration_p95_ms", by: "model" })} beside={[["p50", "duration_p50_ms"] as const, ["p99", "duration_p99_ms"] as const].map(([level, name]) => `${level} ${milliseconds(value(is, name))}`.replaceAll(" ", "\u00a0")).join(" · ")} meaning="to the last byte" />
      <Figure title={title("ttft_p95_ms")} unit="ms" {...both("ttft_p95_ms")} course={line("ttft_p95_ms")} more="bad" href={href("/explore", { measure: "ttft_p95_ms", by: "model" })} beside={`p50 ${milliseconds(value(is, "ttft_p50_ms"))}`} meaning="to the first content of a stream (TTFT)" />
      <Figure title={title("itl_p95_ms")} unit="ms" {...both("itl_p95_ms")} course={line("itl_p95_ms")} more="bad" href={href("/explore", { measure: "itl_p95_ms", by: "model" })} beside={`p50 ${milliseconds(value(is, "itl_p50_ms"))}`} meaning="gaps between content events, over all gaps of all streams" />
      <Figure title={title("cache_hit_rate")} unit="1" {...both("cache_hit_rate")} course={line("cache_hit_rate")} more="good" href={href("/explore", { measure: "cache_hit_rate", by: "model" })} meaning="input tokens read from a cache, of calls that say so" />
    </div>
  );
}

/** What the figures do not know, as shares: a sum is only as good as these are small. */
function Trust({ is }: { is: SeriesRow | undefined }) {
  if (!is?.["calls"]) return null;
  const parts: [string, string, string, string][] = [
    ["unpriced_share", "without a price", "/models", "Their cost is in no sum. The page of models says how to price them."],
    ["estimated_share", "with estimated tokens", href("/explore", { measure: "calls", by: "usage_source" }), "The provider told no usage: it was counted from the stream."],
    ["unattributed_share", "of no team", "/people", "Nobody said who was asking."],
  ];
  return (
    <p class="trust" aria-label="What is not known">
      {parts.map(([name, words, where, meaning]) => (
        <a key={name} href={where.startsWith("/explore") ? where : href(where)} title={meaning} class={(value(is, name) ?? 0) > 0.05 ? "warn" : "muted"}>
          <b>{share(value(is, name))}</b> of calls {words}
        </a>
      ))}
    </p>
  );
}

const SPLITS = choices(["model", "response_model", "provider", "team"]);

function Spending({ marks }: { marks: Mark[] }) {
  const range = current();
  const by = choice("split", "model");
  const answer = useSeries({ measure: ["cost_usd"], by: [by], step: step(range, 80) });
  const lines = useMemo(() => (answer.data ? ofLabels(answer.data, "cost_usd") : null), [answer.data]);
  const perHour = answer.data?.step_seconds ? `each point: ${words(answer.data.step_seconds)}` : "";
  return (
    <Panel title={title("cost_usd")} note={perHour} actions={<Tabs name="split" label="Cost by" options={SPLITS} otherwise="model" />}>
      <Answered answer={answer} height={250} empty={(series) => series.rows.length === 0}>
        {() => lines && <TimeChart lines={lines} unit="USD" title={`${title("cost_usd")} by ${inline(by)}`} stacked marks={marks} onPick={(name) => name !== OTHERS && narrow(by, unlabelled(name))} />}
      </Answered>
    </Panel>
  );
}

function Latency({ course, marks }: { course: Answer<Series>; marks: Mark[] }) {
  const names = ["duration_p99_ms", "duration_p95_ms", "duration_p50_ms", "ttft_p95_ms"];
  const lines = useMemo(() => (course.data ? ofMeasures(course.data, names, names.map(title)) : null), [course.data]);
  return (
    <Panel title="Latency" note="to the last byte">
      <Answered answer={course} height={250} empty={(series) => series.rows.length === 0}>
        {() => lines && <TimeChart lines={lines} unit="ms" title="Latency" marks={marks} />}
      </Answered>
    </Panel>
  );
}

function Traffic({ course, marks }: { course: Answer<Series>; marks: Mark[] }) {
  const range = current();
  const shown = choice("traffic", "tokens");
  const failed = useSeriesWhere({ measure: ["errors"], by: ["error_type"], step: step(range) }, shown === "errors" ? narrowedTo("outcome", "error") : null);
  const tokens = useMemo(() => (course.data ? ofMeasures(course.data, ["tokens_per_minute"], [title("tokens_per_minute")]) : null), [course.data]);
  const errors = useMemo(() => (failed.data ? ofLabels(failed.data, "errors") : null), [failed.data]);
  const options = [
    { value: "tokens", title: title("tokens_per_minute") },
    { value: "errors", title: title("errors") },
  ];
  return (
    <Panel title="Traffic" actions={<Tabs name="traffic" label="Traffic shown" options={options} otherwise="tokens" />}>
      {shown === "tokens" ? (
        <Answered answer={course} height={250} empty={(series) => series.rows.length === 0}>
          {() => tokens && <TimeChart lines={tokens} unit="tokens/min" title={title("tokens_per_minute")} marks={marks} />}
        </Answered>
      ) : (
        <Answered answer={failed} height={250} empty={(series) => series.rows.length === 0} nothing={<p class="nothing good">No errors in this range.</p>}>
          {() => errors && <TimeChart lines={errors} unit="calls" title="Errors by fault domain" stacked marks={marks} />}
        </Answered>
      )}
    </Panel>
  );
}

function words(seconds: number): string {
  if (seconds % 86_400 === 0) return `${seconds / 86_400} d`;
  if (seconds % 3600 === 0) return `${seconds / 3600} h`;
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
}

