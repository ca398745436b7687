// What nobody answers for: how much it is, where it comes from, and what to do about it.
import { useSeries } from "../answers";
import { count, exact, labelled, money, share } from "../format";
import { narrowedTo, useSeriesWhere } from "../narrowing";
import { Tabs } from "../parts/Choice";
import { narrow } from "../parts/Filters";
import { Answered, Panel } from "../parts/Panel";
import { Table } from "../parts/Table";
import { choice, href } from "../place";
import type { SeriesRow, Value } from "../types";
import { choices, inline } from "../words";
import type { Level } from "./PeopleLevels";

const ORIGINS = choices(["service", "source", "api", "model"]);
const WARN = 0.05;

export function Unattributed({ by }: { by: Level }) {
  const where = narrowedTo(by.value, by.value === "user_id" ? null : "");
  const nobody = useSeriesWhere({ measure: ["calls", "cost_usd", "total_tokens"] }, where);
  const all = useSeries({ measure: ["calls", "cost_usd"] });
  const of = (row: SeriesRow | undefined, name: string) => (row?.[name] as Value | undefined) ?? null;
  const [some, total] = [nobody.data?.rows[0], all.data?.rows[0]];
  const calls = of(some, "calls");
  const part = (name: string) => (of(total, name) ? (of(some, name) ?? 0) / (of(total, name) ?? 1) : null);
  if (where === null) return null;
  return (
    <Panel title={`Of no ${by.word}`} wide note={calls ? "" : undefined_(total, by)}>
      <Answered answer={nobody} height={150} empty={() => !calls} nothing={<p class="good">{of(total, "calls") ? `Every call says its ${by.word}.` : "No calls in this range."}</p>}>
        {() => (
          <div class="nobody">
            <div>
              <p class={`nobody-share ${(part("cost_usd") ?? part("calls") ?? 0) > WARN ? "warn" : ""}`}>
                <b>{share(part("cost_usd"))}</b> <span>of the cost</span>
              </p>
              <p>
                {money(of(some, "cost_usd"))}, {exact(calls)} calls ({share(part("calls"))}), {count(of(some, "total_tokens"))} tokens of no {by.word}.
              </p>
              <p class="muted">
                Say it where the call is made: {HOW[by.value]} <a href={href("/connect")}>See how for your language</a>.
              </p>
            </div>
            <Origins by={by} where={where} total={calls ?? 0} />
          </div>
        )}
      </Answered>
    </Panel>
  );
}

function undefined_(total: SeriesRow | undefined, by: Level): string {
  return total ? "" : `looking for calls of no ${by.word}`;
}

const said = (word: string) => (
  <>
    <code>tachograph.context({word}="…")</code> in Python, the header <code>x-tachograph-{word}</code> at the gateway.
  </>
);
const HOW: Record<string, ReturnType<typeof said>> = {
  team: said("team"),
  project: said("project"),
  feature: said("feature"),
  customer: said("customer"),
  user_id: said("user"),
};

function Origins({ by, where, total }: { by: Level; where: string[]; total: number }) {
  const origin = choice("origin", "service");
  const answer = useSeriesWhere({ measure: ["calls", "cost_usd"], by: [origin], limit: 50 }, where);
  const rows = answer.data?.by[0] === origin ? answer.data.rows : [];
  return (
    <div class="origins">
      <Tabs name="origin" label={`Calls of no ${by.word}, by`} options={ORIGINS} otherwise="service" />
      <Answered answer={answer} height={110}>
        {() => (
          <Table
            caption={`Where calls of no ${by.word} come from`}
            rows={rows}
            rowsMax={5}
            rowKey={(row) => String(row[origin])}
            columns={[
              {
                key: "name",
                title: inline(origin),
                cell: (row) => (
                  <button type="button" class="cellgo" title="Narrow the page to it" onClick={() => narrow(origin, (row[origin] as string | null) ?? null)}>
                    {labelled((row[origin] as string | null) ?? null)}
                  </button>
                ),
              },
              { key: "calls", title: inline("calls"), number: true, cell: (row) => exact(row["calls"] as Value) },
              { key: "share", title: "of them", number: true, bar: (row) => (total ? Number(row["calls"]) / total : 0), cell: (row) => <span>{share(total ? Number(row["calls"]) / total : null)}</span> },
              { key: "cost", title: inline("cost_usd"), number: true, cell: (row) => money(row["cost_usd"] as Value) },
            ]}
          />
        )}
      </Answered>
    </div>
  );
}
