// The figures of every label: each measure, its share of the whole where shares add up, and how it moved.
import { type Question, useSeries } from "../answers";
import { change, inUnit, labelled, share, signed } from "../format";
import { narrow } from "../parts/Filters";
import { type Column, Table } from "../parts/Table";
import { before, current } from "../range";
import type { Series, SeriesRow, Value } from "../types";
import { inline, title } from "../words";
import { ROWS_MAX, addsUp, keyOf } from "./ExploreQuestion";

interface Properties {
  series: Series;
  question: Question;
  measures: string[];
  by: string[];
}

export function ExploreTable({ series, question, measures, by }: Properties) {
  const range = current();
  const was = useSeries({ ...question, range: before(range) }, true);
  const fits = was.data !== null && was.data.by.join() === series.by.join() && measures.every((each) => was.data !== null && each in was.data.measures);
  const earlier = new Map((fits ? was.data?.rows ?? [] : []).map((row) => [keyOf(row, series.by), row]));
  return (
    <>
      <Table
        caption={`${measures.map(title).join(", ")} by ${by.map(inline).join(" and ") || "nothing"}`}
        order="order"
        orderOtherwise={`-${measures[0] ?? ""}`}
        rows={series.rows}
        rowKey={(row) => keyOf(row, series.by)}
        columns={[...labels(series.by), ...figures(series, measures, (row) => (fits ? earlier.get(keyOf(row, series.by)) : undefined), before(range).title)]}
      />
      <p class="muted small">
        Answered from {series.table === "calls" ? "single calls" : `sums by ${series.table.replace("+calls", " and single calls")}`}
        {series.rows.length >= ROWS_MAX && `; the ${ROWS_MAX} largest are shown`}.
      </p>
    </>
  );
}

function labels(by: string[]): Column<SeriesRow>[] {
  return by.map((name) => ({
    key: name,
    title: title(name),
    value: (row) => row[name] as string | null,
    cell: (row) => (
      <button type="button" class="cellgo" title="Narrow the page to it" onClick={() => narrow(name, (row[name] as string | null) ?? null)}>
        {labelled(row[name] as string | null)}
      </button>
    ),
  }));
}

function figures(series: Series, measures: string[], earlier: (row: SeriesRow) => SeriesRow | undefined, period: string): Column<SeriesRow>[] {
  return measures.flatMap((measure) => {
    const of = (row: SeriesRow | undefined) => (row?.[measure] as Value | undefined) ?? null;
    const unit = series.measures[measure] ?? "";
    const most = series.rows.reduce((size, row) => Math.max(size, of(row) ?? 0), 0);
    const whole = series.rows.reduce((sum, row) => sum + (of(row) ?? 0), 0);
    const moved = (row: SeriesRow) => change(of(row), of(earlier(row)));
    const columns: Column<SeriesRow>[] = [
      { key: measure, title: title(measure), number: true, value: of, bar: (row) => (most ? (of(row) ?? 0) / most : 0), cell: (row) => inUnit(of(row), unit) },
    ];
    if (addsUp(series, measure) && series.rows.length > 1 && series.rows.length < ROWS_MAX) {
      columns.push({ key: `share ${measure}`, title: "share", number: true, cell: (row) => share(whole ? (of(row) ?? 0) / whole : null) });
    }
    columns.push({ key: `moved ${measure}`, title: "change", meaning: `against ${period}`, number: true, value: moved, cell: (row) => <span class="muted">{earlier(row) ? signed(moved(row)) : "new"}</span> });
    return columns;
  });
}
