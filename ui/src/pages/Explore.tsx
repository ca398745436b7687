// Any measure by any one or two dimensions, over time and as a table; or latency as a heat map.
import "../style/explore.css";
import { useMemo, useRef } from "preact/hooks";
import { address } from "../api";
import { type Question, asked, filters, useAnswer, useSeries } from "../answers";
import { Heat } from "../charts/Heat";
import { TimeChart } from "../charts/TimeChart";
import { ofLabels, ofMeasures } from "../charts/lines";
import { useMarks } from "../charts/marks";
import { csv, download, png } from "../export";
import { useSeriesWhere } from "../narrowing";
import { Bar } from "../parts/Bar";
import { Select, Tabs } from "../parts/Choice";
import { CopyAs } from "../parts/CopyAs";
import { narrow } from "../parts/Filters";
import { Answered, Panel } from "../parts/Panel";
import { choice, set } from "../place";
import { current, step } from "../range";
import type { Heat as HeatAnswer, Series, Vocabulary } from "../types";
import { choices, inline, listed, title } from "../words";
import { FAMILIES, LINES_MAX, ROWS_MAX, addsUp, dimensionsOf, heatOf, labelOf, measuresOf, narrowedToTop, wide } from "./ExploreQuestion";
import { ExploreTable } from "./ExploreTable";

const CHARTS = [
  { value: "lines", title: "Lines" },
  { value: "areas", title: "Areas" },
  { value: "heat", title: "Heat map" },
];
const MEASURE = "cost_usd";
const BY = "model";
const NONE = "none";

export function Explore() {
  const chosen = choice("measure", MEASURE);
  const measures = measuresOf(chosen);
  const by = dimensionsOf(choice("by", BY).replace(NONE, ""));
  const first = measures[0] ?? MEASURE;
  const question: Question = { measure: measures, by, limit: ROWS_MAX, order: `-${first}` };
  const totals = useSeries(question);
  const vocabulary = useAnswer<Vocabulary>(address("vocabulary"));
  const heat = choice("chart", "lines") === "heat";
  const meaning = vocabulary.data?.measures.find((each) => each.name === first);
  return (
    <>
      <Bar title="Explore" />
      <div class="grid">
        <Controls vocabulary={vocabulary.data} chosen={chosen} by={by} />
        {heat ? <HeatPanel of={heatOf(chosen)} /> : <Course question={question} measures={measures} by={by} totals={totals.data} />}
        <Panel
          title={`${FAMILIES[chosen]?.title ?? measures.map(title).join(", ")}${by.length ? ` by ${by.map(inline).join(" and ")}` : ""}`}
          wide
          actions={
            <>
              <CopyAs question={asked(question)} />
              <button type="button" disabled={!totals.data} onClick={() => totals.data && download("tachograph.csv", csv(totals.data), "text/csv")}>
                CSV
              </button>
            </>
          }
        >
          {meaning && (
            <p class="muted sentence">
              {title(first)}: {meaning.meaning}.
            </p>
          )}
          <Answered answer={totals} height={260} empty={(series) => series.rows.length === 0}>
            {(series) => <ExploreTable series={series} question={question} measures={measures} by={by} />}
          </Answered>
        </Panel>
      </div>
    </>
  );
}

interface ControlsProperties {
  vocabulary: Vocabulary | null;
  chosen: string;
  by: string[];
}

function Controls({ vocabulary, chosen, by }: ControlsProperties) {
  const measures = [
    ...Object.entries(FAMILIES).map(([value, family]) => ({ value, title: family.title })),
    ...(vocabulary?.measures ?? []).map(({ name }) => ({ value: name, title: listed(name) })),
  ];
  if (!measures.some((each) => each.value === chosen)) measures.unshift({ value: chosen, title: measuresOf(chosen).map(title).join(", ") });
  const tags = by.filter((each) => each.includes("."));
  const dimensions = choices([...(vocabulary?.dimensions.map((each) => each.name) ?? by), ...tags]);
  const none = { value: NONE, title: "nothing" };
  const choose = (place: number, value: string) => {
    const next = [...by];
    if (value === NONE) next.splice(place, 1);
    else next[place] = value;
    const words = dimensionsOf(next.join(",")).join(",");
    set({ by: words === BY ? null : words || NONE });
  };
  return (
    <div class="controls" role="group" aria-label="What is shown">
      <Select name="measure" label="Measure" options={measures} otherwise={MEASURE} />
      <Dimension label="by" options={[none, ...dimensions]} value={by[0] ?? NONE} choose={(value) => choose(0, value)} />
      {by.length > 0 && <Dimension label="and" options={[none, ...dimensions]} value={by[1] ?? NONE} choose={(value) => choose(1, value)} />}
      <Tag by={by} />
      <Tabs name="chart" label="Chart" options={CHARTS} otherwise="lines" />
    </div>
  );
}

interface DimensionProperties {
  label: string;
  options: { value: string; title: string }[];
  value: string;
  choose: (value: string) => void;
}

function Dimension({ label, options, value, choose }: DimensionProperties) {
  return (
    <label class="select">
      <span>{label}</span>
      <select value={value} onChange={(event) => choose(event.currentTarget.value)}>
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.title}
          </option>
        ))}
      </select>
    </label>
  );
}

/** What users attached themselves is a dimension too, by its key. */
function Tag({ by }: { by: string[] }) {
  const apply = (event: Event) => {
    event.preventDefault();
    const input = (event.currentTarget as HTMLFormElement).elements.namedItem("tag") as HTMLInputElement;
    const key = input.value.trim();
    if (key !== "" && !key.includes(",")) set({ by: dimensionsOf([`tags.${key}`, ...by].join(",")).join(",") });
    input.value = "";
  };
  return (
    <form class="tag-form" onSubmit={apply}>
      <input name="tag" aria-label="Group by a tag: its key" placeholder="tag" size={8} />
    </form>
  );
}

interface CourseProperties {
  question: Question;
  measures: string[];
  by: string[];
  totals: Series | null;
}

/** The measure over time. Which labels are the largest is known first, so that of ten thousand only eight are asked for. */
function Course({ question, measures, by, totals }: CourseProperties) {
  const range = current();
  const marks = useMarks();
  const holder = useRef<HTMLDivElement>(null);
  const width = wide(step(range), range.seconds, [...by, ...filters().map((each) => each.split("=")[0] ?? "")]);
  const ready = by.length === 0 || (totals !== null && totals.by.join() === by.join());
  const where = ready ? narrowedToTop(filters(), by, totals?.rows ?? []) : null;
  const several = measures.length > 1;
  // Several measures are lines of their own: they are of all labels together.
  const labels = several ? [] : by;
  const answer = useSeriesWhere({ measure: measures, by: labels, step: width }, several ? filters() : where);
  const first = measures[0] ?? MEASURE;
  const lines = useMemo(() => {
    const series = answer.data;
    if (!series || series.by.join() !== labels.join() || !measures.every((each) => each in series.measures)) return null;
    return labels.length ? ofLabels(series, first, LINES_MAX) : ofMeasures(series, measures, measures.map(title));
  }, [answer.data, labels.join(), measures.join()]);
  const unit = answer.data?.measures[first] ?? "";
  const stacked = choice("chart", "lines") === "areas" && answer.data !== null && addsUp(answer.data, first);
  const pick = (name: string) => {
    const label = labelOf(name, totals?.rows ?? [], labels);
    if (label !== undefined && labels[0]) narrow(labels[0], label);
  };
  const more = (totals?.rows.length ?? 0) - LINES_MAX;
  const note = labels.length && more > 0 && !lines?.names.includes("everything else") ? `the ${LINES_MAX} largest; ${more} more in the table` : "";
  return (
    <Panel title="Over time" note={note} wide actions={<Picture holder={holder} name={measures.map(title).join(", ")} words={question.by?.join(" and ") ?? ""} />}>
      <div ref={holder}>
        <Answered answer={answer} height={330} empty={(series) => series.rows.length === 0}>
          {() => (lines ? <TimeChart lines={lines} unit={unit} title={`${measures.map(title).join(", ")} over time`} stacked={stacked} height={300} marks={marks} onPick={pick} /> : <div class="waiting" style={{ minHeight: "330px" }} />)}
        </Answered>
      </div>
    </Panel>
  );
}

function Picture({ holder, name, words }: { holder: { current: HTMLDivElement | null }; name: string; words: string }) {
  const save = async () => {
    if (holder.current) download("tachograph.png", await png(holder.current, `${name}${words ? ` by ${words}` : ""}`, current().title), "image/png");
  };
  return (
    <button type="button" onClick={save}>
      PNG
    </button>
  );
}

function HeatPanel({ of }: { of: string }) {
  const range = current();
  const marks = useMarks();
  const holder = useRef<HTMLDivElement>(null);
  const url = address("heat", { of, since: range.since, until: range.until, step: `${step(range, 120)}s`, where: filters() });
  const answer = useAnswer<HeatAnswer>(url, range.live);
  const name = title(of);
  return (
    <Panel title={`${name} over time`} note={of === "itl_ms" ? "how many gaps were how long" : "how many calls took how long"} wide actions={<Picture holder={holder} name={name} words="" />}>
      <div ref={holder}>
        <Answered answer={answer} height={330} empty={(heat) => heat.rows.length === 0}>
          {(heat) => <Heat heat={heat} title={name} marks={marks} />}
        </Answered>
      </div>
    </Panel>
  );
}
