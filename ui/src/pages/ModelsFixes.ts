// The text that prices a model, as the API gives it, found by what was called.
import type { ModelVersion, SeriesRow } from "../types";

export function fixOf(models: ModelVersion[], row: SeriesRow): string | null {
  const same = (each: ModelVersion) => each.provider === row["provider"] && each.request_model === (row["request_model"] ?? null) && each.model === (row["model"] ?? null);
  return models.find((each) => same(each) && each.fix !== null)?.fix ?? null;
}
