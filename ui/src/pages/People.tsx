// Who spends: by team, project, feature, customer and user, one step into the other; and what nobody answers for.
import { filters } from "../answers";
import type { Label } from "../conditions";
import { labelled } from "../format";
import { Bar } from "../parts/Bar";
import { Tabs } from "../parts/Choice";
import { choice, href, place } from "../place";
import { session } from "../api";
import "../style/people.css";
import { Course } from "./PeopleCourse";
import { LEVELS, crumbs, level } from "./PeopleLevels";
import { Spenders } from "./PeopleSpenders";
import { Unattributed } from "./PeopleUnattributed";

export function People() {
  const by = level(choice("by", "team"));
  const scoped = (session.value?.teams.length ?? 0) > 0;
  return (
    <>
      <Bar title="People and teams" />
      <div class="people-choice">
        <Tabs name="by" label="Cost by" options={LEVELS} otherwise="team" />
        <Path />
      </div>
      <div class="grid people">
        {!(scoped && by.value === "team") && <Unattributed key={by.value} by={by} />}
        <Course by={by.value} />
        <Spenders by={by.value} />
      </div>
    </>
  );
}

/** The way here: each step goes back to it. */
function Path() {
  const steps = crumbs(filters());
  if (steps.length === 0) return null;
  const others = filters().filter((each) => !steps.some((step) => each.startsWith(`${step.name}=`)));
  return (
    <nav class="path" aria-label="Narrowed to">
      <ol>
        <li>
          <a href={href(place.value.path, { where: others, by: steps[0]?.name === "team" ? null : (steps[0]?.name ?? null) })}>all</a>
        </li>
        {steps.map((step, index) => (
          <li key={step.name} aria-current={index === steps.length - 1 ? "page" : undefined}>
            <span class="muted">{level(step.name).word} </span>
            {index === steps.length - 1 ? <b>{said(step.values)}</b> : <a href={href(place.value.path, { where: step.where, by: steps[index + 1]?.name ?? null })}>{said(step.values)}</a>}
          </li>
        ))}
      </ol>
    </nav>
  );
}

function said(values: Label[]): string {
  return values.map(labelled).join(" or ");
}
