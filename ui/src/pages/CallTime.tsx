// The course of one call as a waterfall, and the gaps between its pieces as a small histogram.
import { exact, milliseconds } from "../format";
import { Panel } from "../parts/Panel";
import { clock, moment } from "../range";
import type { FullCall } from "./CallFields";
import { type Gaps, gapBars, missing, stretches } from "./CallTimes";

export function CallTime({ call }: { call: FullCall }) {
  const found = stretches(call);
  const whole = Math.max(1, call.duration_ms ?? 0, ...found.map((each) => each.to));
  return (
    <Panel title="Time" note={`sent ${moment(call.started_at, true)}`} wide>
      {found.length > 0 && (
        <ol class="waterfall" aria-label="Course of the call">
          {found.map((each) => (
            <li key={each.title} title={each.meaning}>
              <span class="waterfall-title">{each.title}</span>
              <span class="waterfall-track" aria-hidden="true">
                <i class={each.kind} style={{ left: `${(each.from / whole) * 100}%`, width: `max(3px, ${((each.to - each.from) / whole) * 100}%)` }} />
              </span>
              <span class="waterfall-length">
                {milliseconds(each.to - each.from)}
                <span class="sr">
                  , {each.meaning}
                  {each.kind === "stated" ? "" : `, from ${milliseconds(each.from)} to ${milliseconds(each.to)}`}
                </span>
              </span>
            </li>
          ))}
          <li class="waterfall-axis" aria-hidden="true">
            <span />
            <span class="waterfall-track">
              <b>0</b>
              <b>{milliseconds(whole / 2)}</b>
              <b>{milliseconds(whole)}</b>
            </span>
            <span />
          </li>
        </ol>
      )}
      <div class="call-columns">
        <Histogram call={call} />
        <div>
          <Known call={call} />
          <ul class="untold">
            {missing(call).map((sentence) => (
              <li key={sentence}>{sentence}</li>
            ))}
          </ul>
        </div>
      </div>
    </Panel>
  );
}

function Known({ call }: { call: FullCall }) {
  const ended = call.duration_ms === null ? null : Date.parse(call.started_at) + call.duration_ms;
  const received = Date.parse(call.received_at);
  const facts: [string, string | null][] = [
    ["Whole", call.duration_ms === null ? null : milliseconds(call.duration_ms)],
    ["Headers", call.headers_ms === null ? null : milliseconds(call.headers_ms)],
    ["First content", call.ttft_ms === null ? null : milliseconds(call.ttft_ms)],
    ["Time per output token", call.tpot_ms === null ? null : milliseconds(call.tpot_ms)],
    ["Accepted here", `${clock(call.received_at)}${ended !== null && received >= ended ? `, ${milliseconds(received - ended)} after it ended` : ""}`],
    ["Asked to wait", call.retry_after_ms === null ? null : milliseconds(call.retry_after_ms)],
  ];
  return (
    <dl class="facts">
      {facts.map(([name, value]) =>
        value === null ? null : (
          <>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </>
        ),
      )}
    </dl>
  );
}

function Histogram({ call }: { call: FullCall }) {
  const bars = gapBars(call.itl_buckets);
  if (!bars.length) return null;
  const most = Math.max(...bars.map((bar) => bar.gaps));
  const all = bars.reduce((sum, bar) => sum + bar.gaps, 0);
  return (
    <figure class="gaps">
      <figcaption>
        <h3>Gaps between pieces of content</h3>
        <span class="muted">
          {exact(all)} gaps · mean {milliseconds(call.itl_mean_ms)} · p99 {milliseconds(call.itl_p99_ms)} · longest {milliseconds(call.itl_max_ms)}
        </span>
      </figcaption>
      <ul class="gap-bars" aria-label="Gaps by length">
        {bars.map((bar) => (
          <li key={bar.over} title={`${length(bar)}: ${exact(bar.gaps)}`}>
            <span class="sr">
              {length(bar)}: {exact(bar.gaps)}
            </span>
            <i aria-hidden="true" style={{ height: bar.gaps ? `max(2px, ${(bar.gaps / most) * 100}%)` : "0" }} />
          </li>
        ))}
      </ul>
      <div class="gap-axis muted" aria-hidden="true">
        <span>{milliseconds(bars[0]?.over ?? 0)}</span>
        <span>{bars.at(-1)?.upTo ? milliseconds(bars.at(-1)?.upTo) : "and longer"}</span>
      </div>
    </figure>
  );
}

function length({ over, upTo }: Gaps): string {
  return upTo === null ? `over ${milliseconds(over)}` : `${milliseconds(over)} to ${milliseconds(upTo)}`;
}
