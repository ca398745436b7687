// Calls that are no errors, and yet did not end as they should: cut short, left by their caller, or stopped at a limit.
import { filters } from "../answers";
import { instead, within } from "../conditions";
import { count, exact, money } from "../format";
import { narrowedTo, useSeriesWhere } from "../narrowing";
import { Answered, Panel } from "../parts/Panel";
import { Table } from "../parts/Table";
import { href } from "../place";
import { before, current } from "../range";
import type { SeriesRow, Value } from "../types";
import { inline } from "../words";
import { outcomeMeaning } from "./ErrorsWords";

const NAMES = ["truncated", "aborted"];
const MEASURES = ["calls", "output_tokens", "cost_usd"];

interface Line {
  name: string;
  title: string;
  meaning: string;
  is: SeriesRow;
  calls: number;
  before: number | null;
  where: string[];
}

export function Ended() {
  const allowed = NAMES.filter((name) => narrowedTo("outcome", name) !== null);
  const early = allowed.length ? instead(filters(), "outcome", allowed) : null;
  const ok = narrowedTo("outcome", "ok");
  const long = ok && within(ok, "finish_reason", "length");
  const ended = useLines(early, "outcome");
  const stopped = useLines(long, "finish_reason");
  if (!early && !long) return null;
  const lines = [
    ...ended.lines.map((line) => ({ ...line, title: line.name, meaning: outcomeMeaning(line.name), where: instead(filters(), "outcome", line.name) })),
    ...stopped.lines.map((line) => ({ ...line, title: "stopped at the limit", meaning: "The answer reached the most tokens that it may have (finish reason: length).", where: long ?? [] })),
  ];
  return (
    <Panel title="Ended early" note="no errors, but not as they should be">
      <Answered answer={early ? ended.answer : stopped.answer} height={140} empty={() => lines.length === 0} nothing={<p class="nothing good">Every answer in this range came to its end.</p>}>
        {() => <Outcomes lines={lines} />}
      </Answered>
    </Panel>
  );
}

function useLines(where: string[] | null, by: string) {
  const question = { measure: MEASURES, by: [by] };
  const answer = useSeriesWhere(question, where);
  const was = useSeriesWhere({ ...question, range: before(current()) }, where, true);
  const earlier = was.data && !was.stale ? new Map(was.data.rows.map((row) => [row[by], Number(row["calls"])])) : null;
  const rows = where === null ? [] : (answer.data?.rows ?? []);
  const lines = rows.map((row) => ({ name: String(row[by]), is: row, calls: Number(row["calls"]), before: earlier ? (earlier.get(row[by]) ?? 0) : null }));
  return { answer, lines };
}

function Outcomes({ lines }: { lines: Line[] }) {
  return (
    <Table
      caption="Calls that ended early"
      rows={lines}
      rowKey={(line) => line.name}
      columns={[
        {
          key: "name",
          title: "how",
          cell: (line) => (
            <>
              <a href={href("/calls", { where: line.where })} title="Show the calls">
                {line.title}
              </a>
              <small class="muted">{line.meaning}</small>
            </>
          ),
        },
        { key: "calls", title: inline("calls"), number: true, cell: (line) => <b>{exact(line.calls)}</b> },
        { key: "before", title: "before", number: true, meaning: before(current()).title, cell: (line) => <span class="muted">{exact(line.before)}</span> },
        { key: "tokens", title: inline("output_tokens"), number: true, cell: (line) => count(line.is["output_tokens"] as Value) },
        { key: "cost", title: inline("cost_usd"), number: true, cell: (line) => money(line.is["cost_usd"] as Value) },
      ]}
    />
  );
}
