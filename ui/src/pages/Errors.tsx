// What fails: whose fault it is, who is hit, and how near the limits are.
import { useMemo } from "preact/hooks";
import { useSeries } from "../answers";
import { ofMeasures } from "../charts/lines";
import { exact, share } from "../format";
import { narrowedTo, useSeriesWhere } from "../narrowing";
import { Bar } from "../parts/Bar";
import { Figure } from "../parts/Figure";
import { Answered } from "../parts/Panel";
import { href } from "../place";
import { before, current, step } from "../range";
import "../style/errors.css";
import type { Series, Value } from "../types";
import { Ended } from "./ErrorsEnded";
import { Headroom } from "./ErrorsHeadroom";
import { Hit } from "./ErrorsHit";
import { Newest } from "./ErrorsNewest";
import { Course } from "./ErrorsOverTime";
import { Kinds, Places } from "./ErrorsWhose";

export function Errors() {
  const failed = narrowedTo("outcome", "error");
  return (
    <>
      <Bar title="Errors" />
      <div class="grid errors">
        <State />
        {failed === null ? (
          <p class="panel nothing">
            The filter on the outcome leaves out every error. <a href={href("/errors", { where: null })}>Remove the filters</a>
          </p>
        ) : (
          <>
            <Course failed={failed} />
            <Kinds failed={failed} />
            <Places />
            <Hit />
          </>
        )}
        <Headroom />
        <Ended />
        {failed !== null && <Newest failed={failed} />}
      </div>
    </>
  );
}

const MEASURES = ["errors", "error_rate", "calls", "retries"];

function State() {
  const now = useSeries({ measure: MEASURES });
  const was = useSeries({ measure: MEASURES, range: before(current()) });
  const course = useSeries({ measure: MEASURES, step: step(current(), 80) });
  const limited = useSeriesWhere({ measure: ["calls"] }, narrowedTo("error_type", "rate_limited"));
  const limitedBefore = useSeriesWhere({ measure: ["calls"], range: before(current()) }, narrowedTo("error_type", "rate_limited"));
  const lines = useMemo(() => (course.data ? ofMeasures(course.data, MEASURES) : null), [course.data]);
  const of = (series: Series | null, name: string) => (series?.rows[0]?.[name] as Value | undefined) ?? null;
  const earlier = was.stale ? null : was.data;
  const limitedEarlier = limitedBefore.stale ? null : limitedBefore.data;
  const both = (name: string) => ({ value: of(now.data, name), ...(earlier ? { was: of(earlier, name) } : {}), course: lines?.values[MEASURES.indexOf(name)]?.slice(0, lines.partial ? -1 : undefined) ?? [] });
  return (
    <Answered answer={now} height={110} empty={(series) => !series.rows[0]?.["calls"]}>
      {() => (
        <div class="figures">
          <Figure title="Error rate" unit="1" {...both("error_rate")} more="bad" beside={earlier ? `before ${share(of(earlier, "error_rate"))}` : ""} meaning="errors by calls" />
          <Figure title="Errors" unit="calls" {...both("errors")} more="bad" beside={`of ${exact(of(now.data, "calls"))} calls`} />
          <Figure title="Rate limited" unit="calls" value={of(limited.data, "calls") ?? 0} {...(limitedEarlier ? { was: of(limitedEarlier, "calls") ?? 0 } : {})} more="bad" beside="refused by a limit" />
          <Figure title="Retries" unit="calls" {...both("retries")} more="bad" beside="after a first attempt" />
        </div>
      )}
    </Answered>
  );
}
