// Whether calls can be asked for by a field: the API lists what it filters by, and a way that leads nowhere is not shown.
import { address } from "../api";
import { useAnswer } from "../answers";
import type { Vocabulary } from "../types";

export function useFilterable(name: string): boolean {
  const known = useAnswer<Vocabulary>(address("vocabulary"));
  return known.data?.dimensions.some((dimension) => dimension.name === name) ?? false;
}
