// What the API answers, as docs/api says it. Money arrives as text where it is exact (a call), as a number where summed.

export type Value = number | null;
export type Label = string | null;

export interface SeriesRow {
  [name: string]: Value | Label | undefined;
}

export interface Series {
  measures: Record<string, string>;
  by: string[];
  since: string;
  until: string;
  step_seconds: number | null;
  table: string;
  rows: SeriesRow[];
}

export interface Call {
  call_id: string;
  same_as: string | null;
  trace_id: string | null;
  span_id: string | null;
  operation_id: string | null;
  attempt: number;
  started_at: string;
  received_at: string;
  duration_ms: number | null;
  provider: string;
  operation: string;
  api: string;
  request_model: string | null;
  response_model: string | null;
  model: string | null;
  streamed: boolean;
  status: number | null;
  outcome: string;
  error_type: string | null;
  error_code: string | null;
  total_tokens: number | null;
  input_tokens: number | null;
  output_tokens: number | null;
  cost_usd: string | null;
  price_status: string;
  flags: string[];
  tags: Record<string, string>;
  [field: string]: unknown;
}

export interface CallPage {
  calls: Call[];
  next_after: string | null;
}

export interface OneCall {
  call: Call;
  explanation: Record<string, unknown>;
  usage_raw: unknown;
  sightings: Call[];
}

export interface MeasureWord {
  name: string;
  unit: string;
  meaning: string;
}

export interface DimensionWord {
  name: string;
  meaning: string;
  section: string;
}

export interface Vocabulary {
  measures: MeasureWord[];
  dimensions: DimensionWord[];
  maps: string[];
  outcomes: string[];
  error_types: string[];
}

export interface Heat {
  of: string;
  unit: string;
  since: string;
  until: string;
  step_seconds: number;
  table: string;
  buckets: { low_ms: number; high_ms: number }[];
  rows: [number, number, number][];
}

export interface ModelVersion {
  provider: string;
  request_model: string | null;
  response_model: string | null;
  model: string | null;
  calls: number;
  cost_usd: number | null;
  priced_calls: number;
  first_seen: string;
  last_seen: string;
  price_id: string | null;
  fix: string | null;
}

export interface VersionChange {
  at: string;
  provider: string;
  request_model: string;
  before: string;
  after: string;
}

export interface Models {
  models: ModelVersion[];
}

export interface Changes {
  changes: VersionChange[];
}

export interface PriceRow {
  price_id: string;
  provider: string;
  model: string;
  since: string | null;
  until: string | null;
  /** it prices a call of today that it is for */
  in_force: boolean;
  /** words that the calls it is for have */
  context: Record<string, string>;
  /** hours of the day in UTC that it is for; null: all that no other row is for */
  window: string | null;
  rates: Record<string, string>;
  source: string;
}

export interface Prices {
  rows: PriceRow[];
  fix: string | null;
}

export interface HeadroomRow {
  provider: string;
  model: string | null;
  api_key_id: string | null;
  at: string;
  limit_requests: number | null;
  remaining_requests: number | null;
  reset_requests_ms: number | null;
  limit_tokens: number | null;
  remaining_tokens: number | null;
  reset_tokens_ms: number | null;
}

export interface Annotation {
  annotation_id: string;
  at: string;
  kind: string;
  text: string;
  service: string;
  environment: string;
  by: string;
}

export interface Session {
  role: "viewer" | "editor" | "admin" | null;
  name: string;
  teams: string[];
  csrf: string | null;
  login: boolean;
}

export interface Ledger {
  accepted: Record<string, number>;
  stored: number;
  deduplicated: number;
  refused: Record<string, number>;
  ignored: Record<string, number>;
  in_flight: number;
  balanced: boolean;
}

export interface Health {
  status: string;
  version: string;
  doors: Record<string, string>;
  lag_seconds: number;
  store: {
    calls: number;
    repeated_sightings: number;
    oldest: string | null;
    newest: string | null;
    tables: { table: string; rows: number; bytes_on_disk: number; parts: number }[];
    bytes_per_call: number | null;
  };
  counters: Record<string, number | Record<string, number>>;
  retention_days?: Record<string, number>;
}

export interface Connect {
  doors: Record<string, string>;
  tls: boolean;
  key_needed: boolean;
  routes: { prefix: string; provider: string }[];
  calls: number;
}

export interface AskText {
  sql: string;
  promql: { measure: string; expression: string }[];
  promql_missing: { measure: string; why: string }[];
}
