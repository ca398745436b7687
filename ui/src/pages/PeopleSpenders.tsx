// The table of who spends, by one or two dimensions, each against the period before.
import { useSeries, filters } from "../answers";
import { instead } from "../conditions";
import { csv, download } from "../export";
import { count, exact, labelled, money, share, signed } from "../format";
import { Select } from "../parts/Choice";
import { Answered, Panel } from "../parts/Panel";
import { type Column, Table } from "../parts/Table";
import { choice, set } from "../place";
import { before, current } from "../range";
import type { Value } from "../types";
import { inline } from "../words";
import { LEVELS, MEASURES, type Spent, crumbs, level, next, spent } from "./PeopleLevels";

const ROWS_MAX = 1000;

export function Spenders({ by }: { by: string }) {
  const then = choice("then", "");
  const labels = [by, ...(LEVELS.some((each) => each.value === then) && then !== by ? [then] : [])];
  const question = { measure: MEASURES, by: labels, limit: ROWS_MAX, order: "-cost_usd" };
  const is = useSeries(question);
  const was = useSeries({ ...question, range: before(current()) }, true);
  const all = useSeries({ measure: ["cost_usd"] });
  const total = (all.data?.rows[0]?.["cost_usd"] as Value | undefined) ?? null;
  const compare = was.data && !was.stale && was.data.by.join() === labels.join() ? was.data : null;
  const rows = is.data && is.data.by.join() === labels.join() ? spent(is.data, compare, labels, total) : [];
  const options = [{ value: "", title: "no more" }, ...LEVELS.filter((each) => each.value !== by).map((each) => ({ value: each.value, title: each.word }))];
  return (
    <Panel
      title={`Cost by ${labels.map((name) => level(name).word).join(" and ")}`}
      note={total === null ? "" : `${money(total)} in all, against ${before(current()).title}`}
      wide
      actions={
        <>
          <Select name="then" label="and by" options={options} otherwise="" />
          <button type="button" disabled={!is.data || is.stale} onClick={() => is.data && download(`cost-by-${is.data.by.join("-")}.csv`, csv(is.data), "text/csv")}>
            CSV
          </button>
        </>
      }
    >
      <Answered answer={is} height={320} empty={(series) => series.rows.length === 0}>
        {(series) => (
          <>
            <Table caption={`Cost, calls and tokens by ${labels.map((name) => level(name).word).join(" and ")}`} order="order" orderOtherwise="-cost_usd" rows={rows} rowsMax={25} rowKey={(row) => row.key} columns={columns(labels)} />
            {series.rows.length >= ROWS_MAX && <p class="muted small">The {exact(ROWS_MAX)} dearest are listed; the sums above are of all.</p>}
          </>
        )}
      </Answered>
    </Panel>
  );
}

/** Narrow to one, and go on to what it is made of. */
function choose(name: string, value: string | null): void {
  const where = instead(filters(), name, value);
  const to = next(name, crumbs(where).map((crumb) => crumb.name));
  set({ where, by: to === "team" ? null : to, then: null });
}

function columns(labels: string[]): Column<Spent>[] {
  const figure = (key: string, said: (value: Value) => string, meaning = ""): Column<Spent> => ({
    key,
    title: inline(key),
    number: true,
    ...(meaning ? { meaning } : {}),
    value: (row) => row.is[key] as Value,
    cell: (row) => said((row.is[key] as Value | undefined) ?? null),
  });
  return [
    ...labels.map<Column<Spent>>((name, index) => ({
      key: name,
      title: level(name).word,
      value: (row) => row.labels[index] ?? null,
      cell: (row) => (
        <button type="button" class="cellgo" title={`Narrow to this ${level(name).word}`} onClick={() => choose(name, row.labels[index] ?? null)}>
          {labelled(row.labels[index] ?? null)}
        </button>
      ),
    })),
    { key: "cost_usd", title: inline("cost_usd"), number: true, value: (row) => row.cost, cell: (row) => <b>{money(row.cost)}</b> },
    { key: "share", title: "of the cost", number: true, value: (row) => row.share, bar: (row) => row.share ?? 0, cell: (row) => <span>{share(row.share)}</span> },
    {
      key: "moved",
      title: "change",
      number: true,
      meaning: "of the cost, against the period before",
      value: (row) => row.moved,
      cell: (row) => <Moved row={row} />,
    },
    { ...figure("calls", count), cell: (row) => <span title={exact(row.is["calls"] as Value)}>{count(row.is["calls"] as Value)}</span> },
    figure("total_tokens", count),
    figure("cost_per_call_usd", money, "of the calls whose cost is known"),
    figure("error_rate", share),
  ];
}

const JUMP = 0.5;

function Moved({ row }: { row: Spent }) {
  if (row.fresh) return <span class="muted">new</span>;
  const strong = row.moved !== null && Math.abs(row.moved) >= JUMP;
  return (
    <span class={strong ? ((row.moved ?? 0) > 0 ? "bad" : "good") : "muted"} title={`before: ${money(row.was)}`}>
      {signed(row.moved)}
    </span>
  );
}
