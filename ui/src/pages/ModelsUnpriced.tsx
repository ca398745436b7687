// What has no price, and the lines that give it one.
import type { Answer } from "../answers";
import { count, exact, labelled, share } from "../format";
import { narrowedTo, useSeriesWhere } from "../narrowing";
import { narrow } from "../parts/Filters";
import { Code } from "../parts/Code";
import { Answered, Panel } from "../parts/Panel";
import { href } from "../place";
import type { Models, SeriesRow } from "../types";
import { fixOf } from "./ModelsFixes";

export const PRICE_FILE = (
  <>
    Fill in the rates and put this into your price file: the setting <code>prices</code> names it, or <code>tachograph up --prices prices.toml</code>.
  </>
);

export function Unpriced({ models }: { models: Answer<Models> }) {
  const where = narrowedTo("price_status", "unpriced_model");
  const answer = useSeriesWhere({ measure: ["calls", "total_tokens"], by: ["provider", "model", "request_model"], limit: 100 }, where);
  const silent = useSeriesWhere({ measure: ["calls"] }, narrowedTo("price_status", "unknown_usage"), true);
  const total = (models.data?.models ?? []).reduce((sum, row) => sum + row.calls, 0);
  const rows = where === null ? [] : (answer.data?.rows ?? []);
  const calls = rows.reduce((sum, row) => sum + Number(row["calls"]), 0);
  const quiet = Number(silent.data?.rows[0]?.["calls"] ?? 0);
  const nothing = (
    <div class="nothing">
      <p class="good">Every model that was called has a price.</p>
    </div>
  );
  return (
    <div class="anchor" id="unpriced">
      <Panel title="Without a price" wide note={calls && total ? `${exact(calls)} calls, ${share(calls / total)} of all: their cost is in no sum` : ""}>
        {where === null ? (
          nothing
        ) : (
          <Answered answer={answer} height={120} empty={(series) => series.rows.length === 0} nothing={nothing}>
            {(series) => (
              <ul class="unpriced">
                {series.rows.map((row) => (
                  <One key={JSON.stringify([row["provider"], row["model"], row["request_model"]])} row={row} fix={fixOf(models.data?.models ?? [], row)} />
                ))}
              </ul>
            )}
          </Answered>
        )}
        {quiet > 0 && (
          <p class="muted small">
            <a href={href("/calls", { where: [...(narrowedTo("price_status", "unknown_usage") ?? [])] })}>{exact(quiet)} more calls</a> have no cost because nothing told how many tokens they used.
          </p>
        )}
      </Panel>
    </div>
  );
}

function One({ row, fix }: { row: SeriesRow; fix: string | null }) {
  const name = String(row["model"] ?? row["request_model"] ?? "");
  return (
    <li>
      <p>
        <button type="button" class="cellgo" title="Narrow the page to it" onClick={() => narrow("request_model", (row["request_model"] as string | null) ?? null)}>
          <b>{labelled(name)}</b>
        </button>{" "}
        at {String(row["provider"])}: <b>{exact(row["calls"] as number)}</b> calls, <b>{count(row["total_tokens"] as number | null)}</b> tokens without a cost. {fix && PRICE_FILE}
      </p>
      {fix && <Code text={fix} label={`Price of ${name} for the price file`} />}
    </li>
  );
}
