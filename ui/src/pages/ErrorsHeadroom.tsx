// What is left of the providers' limits, as the headers of their answers said it last.
import { useEffect, useState } from "preact/hooks";
import { filters, useAnswer } from "../answers";
import { address } from "../api";
import { count, exact, labelled, share } from "../format";
import { Filtering } from "./ErrorsFiltering";
import { Answered, Panel } from "../parts/Panel";
import { ago, current, moment } from "../range";
import type { HeadroomRow } from "../types";
import { type Gauge, LOW, byNeed, gauges, inWords } from "./ErrorsRoom";

interface Told {
  rows: HeadroomRow[];
}

const ROWS_MAX = 12;

export function Headroom() {
  const range = current();
  const answer = useAnswer<Told>(address("headroom", { since: range.since, where: filters() }), range.live);
  const now = useNow();
  const [all, setAll] = useState(false);
  const nothing = (
    <div class="nothing">
      <p>No answer in this range said what is left of a limit.</p>
      <p class="muted">Some providers say it in the headers of every answer; it is shown here as soon as one does.</p>
    </div>
  );
  return (
    <Panel title="Room left in rate limits" note="as the answers said it last">
      <Answered answer={answer} height={200} empty={(told) => byNeed(told.rows, now).length === 0} nothing={nothing}>
        {(told) => {
          const rows = byNeed(told.rows, now);
          return (
            <>
              <ul class="room">
                {rows.slice(0, all ? rows.length : ROWS_MAX).map((row) => (
                  <Row key={JSON.stringify([row.provider, row.model, row.api_key_id])} row={row} now={now} />
                ))}
              </ul>
              {!all && rows.length > ROWS_MAX && (
                <button type="button" class="plain more" onClick={() => setAll(true)}>
                  Show all {rows.length}
                </button>
              )}
            </>
          );
        }}
      </Answered>
    </Panel>
  );
}

const TICK_MS = 5000;

/** The time, a few times a minute: windows start anew while one looks. */
function useNow(): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = window.setInterval(() => setNow(Date.now()), TICK_MS);
    return () => window.clearInterval(timer);
  }, []);
  return now;
}

function Row({ row, now }: { row: HeadroomRow; now: number }) {
  return (
    <li>
      <p class="room-name">
        <Filtering name="provider" value={row.provider} /> <span aria-hidden="true">·</span> <Filtering name="model" value={row.model} shown={labelled(row.model)} />
        {row.api_key_id !== null && (
          <span class="muted">
            {" "}
            · key <Filtering name="api_key_id" value={row.api_key_id} />
          </span>
        )}
        <time class="muted" dateTime={row.at} title={moment(row.at, true)}>
          said {ago(row.at, now)}
        </time>
      </p>
      {gauges(row, now).map((gauge) => (
        <Left key={gauge.of} gauge={gauge} now={now} />
      ))}
    </li>
  );
}

function Left({ gauge, now }: { gauge: Gauge; now: number }) {
  const low = gauge.share < LOW && !gauge.over;
  return (
    <div class={`gauge ${low ? "low" : ""} ${gauge.over ? "over" : ""}`}>
      <span>{gauge.of}</span>
      <div class="gauge-bar" role="meter" aria-label={`${gauge.of} left`} aria-valuemin={0} aria-valuemax={gauge.limit} aria-valuenow={gauge.left} aria-valuetext={`${exact(gauge.left)} of ${exact(gauge.limit)}`}>
        <i style={{ width: `${gauge.share * 100}%` }} />
      </div>
      <b>{share(gauge.share)}</b>
      <span class="muted gauge-words">
        {count(gauge.left)} of {count(gauge.limit)}
        {anew(gauge, now)}
      </span>
    </div>
  );
}

function anew(gauge: Gauge, now: number): string {
  if (gauge.anewMs === null) return gauge.over ? ", not said since" : "";
  return gauge.over ? `, started anew ${inWords(now - gauge.anewMs)} ago` : `, anew in ${inWords(gauge.anewMs - now)}`;
}
