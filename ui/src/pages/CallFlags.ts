// What was odd about a call, in a sentence each. A flag without a sentence here is shown by its name.
const SENTENCES: Record<string, string> = {
  body_damaged: "The body of the answer was cut or damaged: what came before that was read.",
  body_empty: "The answer had no body.",
  body_not_json: "The body of the answer is not the JSON that it should be.",
  breakdown_not_additive: "The usage by model does not add up to the usage of the whole.",
  buffered_stream: "All content of the stream came at one moment: something on the way held it back, so first token and gaps say nothing about the model.",
  cache_lifetime_unknown: "Tokens were written to a cache, but nobody said for how long it is kept, which moves the price.",
  cache_rate_missing: "The price list has no price for cached input of this model: it was charged as uncached input.",
  cached_exceeds_input: "More tokens were cached than the input had: the cached ones were taken to stand beside the input.",
  cached_twice: "The same tokens were told as written to the cache and as read from it: they are counted once.",
  clock_skew: "A time lies before the one that it must follow: a clock was set, and a latency may be missing.",
  cost_out_of_range: "The cost came out too large to be one.",
  count_unreadable: "A count of tokens was told that is no number: it is taken as unknown.",
  encoding_mismatch: "The body was not compressed as its header says: it was read as it is.",
  encoding_unknown: "The body was compressed in a way that nobody here knows: it could not be read.",
  encoding_unsupported: "The body was compressed with Brotli or zstd, whose package was not installed where the call was recorded: it could not be read.",
  error_recovered: "An error was reported in the session, and it went on.",
  finish_reason_unknown: "The provider gave a reason for the end that is not known here: it is booked as “other”.",
  format_unknown: "The answer has a shape that no reader knows: little could be read of it.",
  gap_booked: "The stated total is larger than the stated parts: the difference was booked to the part that was not told.",
  gap_unexplained: "The stated total is larger than the stated parts, and nothing says by what.",
  iteration_unpriced: "The call made inner calls to a model that has no price.",
  iterations_unreadable: "The list of inner calls could not be read: the call was priced as one.",
  model_missing: "Neither the request nor the answer names a model.",
  part_unpriced: "The price list has no price for one of the parts: the cost leaves it out.",
  pending: "The answer was not ready yet: its usage comes with a later request.",
  provider_assumed: "Nobody named the provider: it was guessed from the name of the model.",
  provisioned: "The call ran on capacity that is paid by the hour: it cost nothing more.",
  reasoning_exceeds_output: "More reasoning was told than the whole output: it was cut to the output.",
  started_at_missing: "Nobody recorded when the request was sent.",
  tap_cut: "The gateway kept only the beginning of this exchange: some counts may be missing.",
  tap_fault: "The gateway failed to record part of this exchange: some counts may be missing.",
  tier_price_unknown: "The price list has no price for this service tier: the usual price was taken.",
  tier_unknown: "“auto” was asked for as the service tier, and the answer did not say which one it became.",
  tool_calls_capped: "The answer asked for more tools than are counted.",
  usage_estimated: "The provider told no usage: the output was counted from the pieces of the stream, and the input is not known.",
  usage_partial: "Only a part of the usage came: the call has no cost, since half a bill is none.",
  usage_raw_too_large: "The provider's usage object was too large to keep.",
};

export const FLAGS = Object.keys(SENTENCES);

/** The sentence of a flag; null where there is none. */
export function sentence(flag: string): string | null {
  return SENTENCES[flag] ?? null;
}
