// What the rates of a price row are for, their order of a price row, and the names of models that may have one.
import type { ModelVersion, PriceRow } from "../types";

export interface Named {
  provider: string;
  model: string;
}

const ORDER = ["input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write_other", "output_visible", "output_reasoning"];
const ABOVE = /^(.*) above (\d+) input tokens$/;

/** The parts that any of the rows has a rate for, the usual ones first. */
export function partsOf(rows: PriceRow[]): string[] {
  const place = (part: string) => (ORDER.includes(part) ? ORDER.indexOf(part) : ORDER.length);
  const parts = rows.flatMap((row) => Object.keys(row.rates)).map((name) => ABOVE.exec(name)?.[1] ?? name);
  return [...new Set(parts)].sort((a, b) => place(a) - place(b) || a.localeCompare(b));
}

/** The rates of a part by the size of the request: `above` so many input tokens, 0 for all. */
export function ratesOf(row: PriceRow, part: string): { above: number; rate: string }[] {
  const found = Object.entries(row.rates).flatMap(([name, rate]) => {
    const above = ABOVE.exec(name);
    return (above?.[1] ?? name) === part ? [{ above: Number(above?.[2] ?? 0), rate }] : [];
  });
  return found.sort((a, b) => a.above - b.above);
}

/** Is the row for some calls only? */
export function special(row: PriceRow): boolean {
  return conditionOf(row) !== "";
}

/** The calls that a row is for: "service tier flex", "processing batch, 16:30-00:30 UTC". */
export function conditionOf(row: PriceRow): string {
  const words = Object.entries(row.context).map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`);
  return [...words, ...(row.window === null ? [] : [`${row.window} UTC`])].join(", ");
}

/** replaced: its days hold, and another row is for the same calls and goes before it. */
export function stateOf(row: PriceRow, now: number): "in force" | "not yet" | "past" | "replaced" {
  if (row.in_force) return "in force";
  if (row.since !== null && Date.parse(row.since) > now) return "not yet";
  return row.until !== null && Date.parse(row.until) <= now ? "past" : "replaced";
}

/** A provider and a model in one word of the address: a model's own name may hold a slash, a provider's does not. */
export function written(named: Named): string {
  return `${named.provider}/${named.model}`;
}

export function named(text: string): Named | null {
  const slash = text.indexOf("/");
  return slash < 1 || slash === text.length - 1 ? null : { provider: text.slice(0, slash), model: text.slice(slash + 1) };
}

export function nameOf(row: ModelVersion): string | null {
  return row.model ?? row.response_model ?? row.request_model;
}

/** The models that were called, the dearest first. */
export function priceable(rows: ModelVersion[]): Named[] {
  const costs = new Map<string, number>();
  for (const row of rows) {
    const model = nameOf(row);
    if (model === null) continue;
    const key = written({ provider: row.provider, model });
    costs.set(key, (costs.get(key) ?? 0) + (row.cost_usd ?? 0));
  }
  return [...costs.entries()].sort((a, b) => b[1] - a[1]).flatMap(([key]) => named(key) ?? []);
}
