// The fields of one call that its page names, and the shape of what explains its cost. docs/call.md says what each is.
import type { Call } from "../types";

type Count = number | null;
type Text = string | null;

export interface FullCall extends Call {
  parent_span_id: Text;
  response_id: Text;
  request_id: Text;
  vantage: string;
  headers_ms: Count;
  ttft_ms: Count;
  chunks: Count;
  itl_mean_ms: Count;
  itl_p99_ms: Count;
  itl_max_ms: Count;
  itl_buckets: number[] | null;
  tpot_ms: Count;
  server_ms: Count;
  queue_ms: Count;
  vendor: Text;
  service_tier: Text;
  price_context: Record<string, string>;
  finish_reason: Text;
  tool_calls: Count;
  retry_after_ms: Count;
  input_uncached: Count;
  cache_read: Count;
  cache_write_5m: Count;
  cache_write_1h: Count;
  cache_write_other: Count;
  output_visible: Count;
  output_reasoning: Count;
  audio_input: Count;
  audio_output: Count;
  image_input: Count;
  image_output: Count;
  usage_source: string;
  usage_basis: Text;
  max_output_tokens: Count;
  temperature: Count;
  cost_source: Text;
  price_id: Text;
  team: string;
  source: string;
}

export interface Line {
  part: string;
  model: string;
  price_id: string;
  quantity: string;
  unit: string;
  per: number;
  rate_usd: string;
  rate_of: string;
  multipliers: { name: string; factor: string }[];
  amount_usd: string;
}

export interface Row {
  price_id: string;
  provider: string;
  model: string;
  valid_from: string | null;
  hours_utc: string | null;
  context: Record<string, string>;
  source: string;
  origin: string;
}

export interface Explanation {
  price_status: string;
  price_id: string | null;
  cost_source: string | null;
  cost_usd: string | null;
  list_usd: string | null;
  difference_usd: string | null;
  rows: Row[];
  lines: Line[];
}

/** What a call says under a name; null where it says nothing, also where that is an empty text. */
export function told(call: Call, name: string): string | null {
  const value = call[name];
  if (value === null || value === undefined || value === "") return null;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
