// Whose cost moved between two answers. Pure: answers in, movers out.
import { labelled } from "../format";
import type { Series, Value } from "../types";

export interface Mover {
  name: string;
  value: string | null;
  is: number;
  was: number;
  moved: number;
}

/** Whose cost moved, the largest move first; unknown costs are in neither period. */
export function moved(is: Series, was: Series, by: string): Mover[] {
  const found = new Map<string | null, Mover>();
  const entry = (label: string | null) => {
    let mover = found.get(label);
    if (!mover) found.set(label, (mover = { name: labelled(label), value: label, is: 0, was: 0, moved: 0 }));
    return mover;
  };
  for (const row of is.rows) entry((row[by] as string | null) ?? null).is += (row["cost_usd"] as Value) ?? 0;
  for (const row of was.rows) entry((row[by] as string | null) ?? null).was += (row["cost_usd"] as Value) ?? 0;
  const movers = [...found.values()];
  for (const mover of movers) mover.moved = mover.is - mover.was;
  return movers.sort((a, b) => Math.abs(b.moved) - Math.abs(a.moved));
}
