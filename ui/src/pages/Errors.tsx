// What fails: whose fault it is, who is hit, and how near the limits are.
import { useMemo } from "preact/hooks";
import { type Answer, useSeries } from "../answers";
import { type Lines, ofMeasures } from "../charts/lines";
import { exact, share } from "../format";
import { narrowedTo, useSeriesWhere } from "../narrowing";
import { Bar } from "../parts/Bar";
import { Figure } from "../parts/Figure";
import { Answered } from "../parts/Panel";
import { href } from "../place";
import { before, current, step } from "../range";
import "../style/errors.css";
import type { Series, Value } from "../types";
import { title } from "../words";
import { Ended } from "./ErrorsEnded";
import { Headroom } from "./ErrorsHeadroom";
import { Hit } from "./ErrorsHit";
import { Newest } from "./ErrorsNewest";
import { Course } from "./ErrorsOverTime";
import { Kinds, Places } from "./ErrorsWhose";

export function Errors() {
  const failed = narrowedTo("outcome", "error");
  const earlier = before(current());
  // Asked once for all parts of the page.
  const now = useSeries({ measure: MEASURES });
  const was = useSeries({ measure: MEASURES, range: earlier }, true);
  const kinds = useSeriesWhere(KINDS, failed);
  const kindsBefore = useSeriesWhere({ ...KINDS, range: earlier }, failed, true);
  return (
    <>
      <Bar title="Errors" />
      <div class="grid errors">
        <State now={now} was={was} kinds={kinds} kindsBefore={kindsBefore} />
        {failed === null ? (
          <p class="panel nothing">
            The filter on the outcome leaves out every error. <a href={href("/errors", { where: null })}>Remove the filters</a>
          </p>
        ) : (
          <>
            <Course failed={failed} />
            <Kinds is={kinds} was={kindsBefore} calls={now} />
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

const MEASURES = ["errors", "error_rate", "calls"];
const KINDS = { measure: ["errors"], by: ["error_type"] };
const RETRIES = { measure: ["retries"] };

const fresh = (answer: Answer<Series>): Series | null => (answer.stale ? null : answer.data);
const of = (series: Series | null, name: string): Value => (series?.rows[0]?.[name] as Value | undefined) ?? null;
const limits = (series: Series): Value => (series.rows.find((row) => row["error_type"] === "rate_limited")?.["errors"] as Value | undefined) ?? 0;

interface StateProperties {
  now: Answer<Series>;
  was: Answer<Series>;
  kinds: Answer<Series>;
  kindsBefore: Answer<Series>;
}

function State({ now, was, kinds, kindsBefore }: StateProperties) {
  const width = { step: step(current(), 80) };
  const course = useSeries({ measure: MEASURES, ...width });
  // Of retries no sums are kept: these read every call.
  const retries = useSeries(RETRIES, true);
  const retriesBefore = useSeries({ ...RETRIES, range: before(current()) }, true);
  const retriesCourse = useSeries({ ...RETRIES, ...width }, true);
  const lines = useMemo(() => (course.data ? ofMeasures(course.data, MEASURES) : null), [course.data]);
  const retriesLine = useMemo(() => (retriesCourse.data ? ofMeasures(retriesCourse.data, RETRIES.measure) : null), [retriesCourse.data]);
  const earlier = fresh(was);
  const drawn = (found: Lines | null, index: number) => found?.values[index]?.slice(0, found.partial ? -1 : undefined) ?? [];
  const both = (name: string) => ({ value: of(now.data, name), ...(earlier ? { was: of(earlier, name) } : {}), course: drawn(lines, MEASURES.indexOf(name)) });
  const [limited, limitedBefore, retriedBefore] = [fresh(kinds), fresh(kindsBefore), fresh(retriesBefore)];
  return (
    <Answered answer={now} height={110} empty={(series) => !series.rows[0]?.["calls"]}>
      {() => (
        <div class="figures">
          <Figure title={title("error_rate")} unit="1" {...both("error_rate")} more="bad" beside={earlier ? `before ${share(of(earlier, "error_rate"))}` : ""} meaning="errors by calls" />
          <Figure title={title("errors")} unit="calls" {...both("errors")} more="bad" beside={`of ${exact(of(now.data, "calls"))} calls`} />
          <Figure title="Rate limited" unit="calls" value={limited ? limits(limited) : null} {...(limitedBefore ? { was: limits(limitedBefore) } : {})} more="bad" beside="refused by a limit" />
          <Figure title={title("retries")} unit="calls" value={of(retries.data, "retries")} {...(retriedBefore ? { was: of(retriedBefore, "retries") } : {})} course={drawn(retriesLine, 0)} more="bad" beside="after a first attempt" />
        </div>
      )}
    </Answered>
  );
}
