// Fault domains in words: what happened, and at whose end it is mended.
export interface Fault {
  title: string;
  meaning: string;
  /** who mends it */
  at: "yours" | "the provider" | "the way there" | "a limit" | "unclear";
}

const FAULTS: Record<string, Fault> = {
  client_bad_request: { title: "bad request", meaning: "The provider did not accept the request: a parameter or a message is not as it must be.", at: "yours" },
  client_auth: { title: "not allowed", meaning: "The key is missing, wrong or may not do this.", at: "yours" },
  client_not_found: { title: "not found", meaning: "There is no such model, deployment or path.", at: "yours" },
  client_too_large: { title: "too large", meaning: "The request is larger than the model or the provider takes.", at: "yours" },
  content_filter: { title: "filtered", meaning: "A content filter kept the answer back.", at: "yours" },
  rate_limited: { title: "rate limited", meaning: "Too many requests or tokens in the provider's window: wait, spread, or ask for a higher limit.", at: "a limit" },
  quota_exhausted: { title: "quota used up", meaning: "The budget or quota at the provider is used up.", at: "a limit" },
  provider_overloaded: { title: "provider overloaded", meaning: "The provider had no capacity: try again later or elsewhere.", at: "the provider" },
  provider_error: { title: "provider error", meaning: "Something broke at the provider.", at: "the provider" },
  timeout: { title: "timed out", meaning: "No answer in the time that the caller gave.", at: "the way there" },
  network: { title: "network", meaning: "The connection failed before or during the answer.", at: "the way there" },
  protocol: { title: "not understood", meaning: "The answer was not what the protocol says.", at: "the way there" },
  cancelled: { title: "cancelled", meaning: "The caller left before the answer was complete.", at: "yours" },
  other: { title: "other", meaning: "Not one of the known kinds: the provider's own word says more.", at: "unclear" },
};

export function fault(errorType: string | null): Fault {
  return FAULTS[errorType ?? ""] ?? { title: errorType ?? "not said", meaning: "", at: "unclear" };
}

const OUTCOMES: Record<string, string> = {
  truncated: "The stream ended without its last event: the answer may be cut short.",
  aborted: "The caller left before the answer was complete; what was made until then is paid for.",
};

export function outcomeMeaning(outcome: string): string {
  return OUTCOMES[outcome] ?? "";
}

/** A value of `by` as it is shown: kinds have words. */
export function shownAs(by: string, name: string): string {
  return by === "error_type" && name in FAULTS ? fault(name).title : name;
}
