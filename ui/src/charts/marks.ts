// What is drawn across every chart: deployments that somebody told, and models that changed their version.
import { useMemo } from "preact/hooks";
import { address, annotated } from "../api";
import { type Answer, filters, useAnswer } from "../answers";
import { current } from "../range";
import type { Annotation, Changes } from "../types";
import type { Mark } from "./lines";

export interface Happening extends Mark {
  /** of what somebody told, and may take back */
  id: string;
}

/** When one version of a model took over from another. last: as of `useAnswer`. */
export function useChanges(last = false): Answer<Changes> {
  const { since, until, live } = current();
  return useAnswer<Changes>(address("changes", { since, until, where: filters() }), live, last);
}

export function useEvents(): Happening[] {
  const range = current();
  const between = { since: range.since, until: range.until };
  // the counter is in the question, so that a new annotation asks again
  const told = useAnswer<{ annotations: Annotation[] }>(`${address("annotations", between)}#${annotated.value}`, range.live, true);
  const changes = useChanges(true);
  return useMemo(
    () => [
      ...(told.data?.annotations ?? []).map((each) => ({ at: Date.parse(each.at) / 1000, text: each.text, kind: each.kind, id: each.annotation_id })),
      ...(changes.data?.changes ?? []).map((each) => ({ at: Date.parse(each.at) / 1000, text: `${each.request_model} → ${each.after}`, kind: "model", id: "" })),
    ],
    [told.data, changes.data],
  );
}

export const useMarks: () => Mark[] = useEvents;
