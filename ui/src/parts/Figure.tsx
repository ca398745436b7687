// One figure that a reader takes in at a glance: its value, how it moved since the period before, and its course.
import type { ComponentChildren } from "preact";
import { change, inUnit, signed } from "../format";
import type { Value } from "../types";

interface Properties {
  title: string;
  value: Value | undefined;
  unit: string;
  was?: Value | undefined;
  /** Is more of it worse (up is bad), better, or neither? */
  more?: "bad" | "good" | "neither";
  course?: Value[];
  beside?: ComponentChildren;
  meaning?: string;
  href?: string;
}

export function Figure({ title, value, unit, was, more = "neither", course = [], beside, meaning, href }: Properties) {
  const moved = change(value, was);
  const mood = moved === null || Math.abs(moved) < 0.02 || more === "neither" ? "" : (moved > 0) === (more === "good") ? "good" : "bad";
  const body = (
    <>
      <span class="figure-title">{title}</span>
      <span class="figure-value">{inUnit(value, unit)}</span>
      <span class={`figure-change ${mood}`} title={was === undefined ? undefined : `before: ${inUnit(was, unit)}`}>
        {was === undefined ? "" : moved === null ? "nothing before" : signed(moved)}
      </span>
      <Course values={course} />
      {beside && <span class="figure-beside">{beside}</span>}
    </>
  );
  return href ? (
    <a class="figure" href={href} title={meaning}>
      {body}
    </a>
  ) : (
    <div class="figure" title={meaning}>
      {body}
    </div>
  );
}

/** A small line without axes. */
export function Course({ values }: { values: Value[] }) {
  const known = values.filter((value): value is number => value !== null);
  const most = known.reduce((a, b) => Math.max(a, b), 0);
  if (known.length < 2 || most <= 0) return <svg class="course" aria-hidden="true" viewBox="0 0 100 24" />;
  let path = "";
  let pen = "M";
  values.forEach((value, index) => {
    if (value === null) pen = "M";
    else {
      path += `${pen}${((index / (values.length - 1)) * 100).toFixed(2)} ${(23 - (value / most) * 22).toFixed(2)}`;
      pen = "L";
    }
  });
  return (
    <svg class="course" aria-hidden="true" viewBox="0 0 100 24" preserveAspectRatio="none">
      <path d={path} vector-effect="non-scaling-stroke" />
    </svg>
  );
}
