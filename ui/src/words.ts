// The words for measures and dimensions: every page names them by this table. A name that has no words here is shown as
// the API writes it.
const TITLES: Record<string, string> = {
  calls: "Calls",
  errors: "Errors",
  error_rate: "Error rate",
  calls_per_minute: "Calls per minute",
  input_uncached: "Uncached input",
  cache_read: "Cache read",
  cache_write_5m: "Cache write, 5 minutes",
  cache_write_1h: "Cache write, 1 hour",
  cache_write_other: "Cache write, lifetime unknown",
  output_visible: "Visible output",
  output_reasoning: "Reasoning",
  audio_input: "Audio input",
  audio_output: "Audio output",
  image_input: "Image input",
  image_output: "Image output",
  input_tokens: "Tokens in",
  output_tokens: "Tokens out",
  total_tokens: "Tokens",
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
  output_per_call: "Tokens out per call",
  trace_id: "Trace",
  operation_id: "Attempts of",
  same_as: "Sighting of",
  attempt: "Attempt",
  vantage: "Seen by",
  provider: "Provider",
  vendor: "Made by",
  operation: "Operation",
  api: "API",
  request_model: "Requested model",
  response_model: "Version",
  model: "Model",
  service_tier: "Service tier",
  streamed: "Streamed",
  status: "HTTP status",
  outcome: "Outcome",
  error_type: "Kind of error",
  error_code: "Provider's word",
  finish_reason: "Ended with",
  tool_calls: "Tool calls",
  max_output_tokens: "Most output tokens",
  temperature: "Temperature",
  retry_after_ms: "Wait asked for",
  usage_source: "Source of the usage",
  usage_basis: "Cached tokens counted",
  cost_source: "Source of the cost",
  price_id: "Price row",
  price_status: "State of the price",
  service: "Service",
  environment: "Environment",
  region: "Region",
  team: "Team",
  project: "Project",
  feature: "Feature",
  customer: "Customer",
  user_id: "User",
  conversation_id: "Conversation",
  api_key_id: "API key",
  prompt_name: "Prompt",
  prompt_version: "Prompt version",
  prompt_hash: "Prompt hash",
  experiment: "Experiment",
  arm: "Arm",
  source: "Recorded by",
  flags: "Flags",
};

const MAPS: Record<string, string> = { tags: "Tag", price_context: "Price context" };

const TIMES: Record<string, string> = {
  duration: "Latency",
  ttft: "First token",
  itl: "Between tokens",
  tpot: "Time per output token",
};

/** "Cost" of cost_usd, "Latency p95" of duration_p95_ms, "Latency" of duration_ms, "Tag tier" of tags.tier. */
export function title(name: string): string {
  const time = /^(duration|ttft|itl|tpot)(?:_(mean|max|p\d+))?_ms$/.exec(name);
  if (time) return [TIMES[time[1] ?? ""], time[2]].filter(Boolean).join(" ");
  const dot = name.indexOf(".");
  const map = MAPS[name.slice(0, Math.max(0, dot))];
  return TITLES[name] ?? (map === undefined ? name : `${map} ${name.slice(dot + 1)}`);
}

/** A part of the tokens, or another thing that is paid for: "cache read", "web search". */
export function part(name: string): string {
  return name in TITLES ? inline(name) : name.replaceAll("_", " ");
}

/** The same within a line: "requested model", "API key". */
export function inline(name: string): string {
  const words = title(name);
  return /^[A-Z][a-z]/.test(words) ? words.charAt(0).toLowerCase() + words.slice(1) : words;
}

/** Names to choose from. */
export function choices(names: string[]): { value: string; title: string }[] {
  return names.map((value) => ({ value, title: title(value) }));
}

/** As lists show it: "Cost (cost_usd)". */
export function listed(name: string): string {
  const words = title(name);
  return words === name ? name : `${words} (${name})`;
}
