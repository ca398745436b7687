// Measures as people name them. A name that has no words here is shown as the API writes it.
const TITLES: Record<string, string> = {
  calls: "Calls",
  errors: "Errors",
  error_rate: "Error rate",
  calls_per_minute: "Calls per minute",
  input_uncached: "Input tokens, not cached",
  cache_read: "Tokens read from a cache",
  cache_write_5m: "Tokens written to a cache for 5 minutes",
  cache_write_1h: "Tokens written to a cache for 1 hour",
  cache_write_other: "Tokens written to a cache, other",
  output_visible: "Output tokens, visible",
  output_reasoning: "Output tokens, reasoning",
  audio_input: "Audio input tokens",
  audio_output: "Audio output tokens",
  image_input: "Image input tokens",
  image_output: "Image output tokens",
  input_tokens: "Input tokens",
  output_tokens: "Output tokens",
  total_tokens: "Tokens in all",
  tokens_per_minute: "Tokens per minute",
  tokens_per_second: "Tokens per second",
  cache_hit_rate: "Cache hit rate",
  cost_usd: "Cost",
  cost_per_1k_tokens_usd: "Cost per 1,000 tokens",
  cost_per_call_usd: "Cost per call",
  unpriced_share: "Share without a price",
  estimated_share: "Share estimated",
  unattributed_share: "Share of nobody",
  retries: "Retries",
};

const TIMES: Record<string, string> = {
  duration: "Latency",
  ttft: "First token",
  itl: "Between tokens",
  tpot: "Time per output token",
};

/** "Cost" of cost_usd, "Latency p95" of duration_p95_ms. */
export function title(measure: string): string {
  const time = /^(duration|ttft|itl|tpot)_(mean|p\d+)_ms$/.exec(measure);
  if (time) return `${TIMES[time[1]!]} ${time[2]}`;
  return TITLES[measure] ?? measure;
}

/** As lists show it: "Cost (cost_usd)". */
export function listed(measure: string): string {
  const words = title(measure);
  return words === measure ? measure : `${words} (${measure})`;
}
