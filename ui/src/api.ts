// The other end of /api/v1: one way to ask, one way to listen. Failures are sentences that a reader can act on.
import { signal } from "@preact/signals";
import type { Session } from "./types";

export class Failure extends Error {
  constructor(
    readonly status: number,
    readonly type: string,
    message: string,
  ) {
    super(message);
  }
}

export type Parameters = Record<string, string | number | string[] | null | undefined>;

export function address(path: string, parameters: Parameters = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value === null || value === undefined) continue;
    for (const text of Array.isArray(value) ? value : [String(value)]) query.append(name, text);
  }
  const text = query.toString();
  return `/api/v1/${path}${text ? `?${text}` : ""}`;
}

export const session = signal<Session | null>(null);

/** Was anything but the login answered? */
let answered = false;

/** Does who asks from elsewhere need a key? A reader who signed in with one is told what others do not send. */
export function keyed(): boolean {
  return Boolean(session.value?.csrf);
}

/** An answer as JSON. Failure where there is none. */
export async function request<T>(url: string, options: RequestInit = {}): Promise<T> {
  let response: Response;
  const headers = new Headers(options.headers);
  if (session.value?.csrf && options.method) headers.set("X-Tachograph-CSRF", session.value.csrf);
  try {
    response = await fetch(url, { ...options, headers, credentials: "same-origin" });
  } catch (failure) {
    if (failure instanceof DOMException && failure.name === "AbortError") throw failure;
    throw new Failure(0, "unreachable", "Tachograph does not answer: is `tachograph up` still running?");
  }
  if (response.status === 204) return undefined as T;
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) throw failed(response.status, body);
  answered ||= url !== address("session");
  return body as T;
}

function failed(status: number, body: unknown): Failure {
  const told = (body as { error?: { type?: string; message?: string } } | null)?.error;
  const failure = new Failure(status, told?.type ?? "failed", told?.message ?? `the answer was HTTP ${status}`);
  // The key was revoked or the login has expired: the login is shown again.
  if (status === 401 && session.value) session.value = { ...session.value, role: null, login: true };
  return failure;
}

export function send<T>(method: "POST" | "DELETE", path: string, body?: unknown): Promise<T> {
  const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  return request<T>(address(path), { method, ...json });
}

export async function signedIn(): Promise<void> {
  session.value = await request<Session>(address("session"));
}

/** Counts up whenever calls were stored; the time of the last one. */
export const pulse = signal({ count: 0, at: 0, connected: false });
/** Counts up whenever somebody annotated. */
export const annotated = signal(0);

/** Listen until the answer is called. Begun before a page asks, so that nothing is stored between its answers and what
 * is heard. */
export function listen(): () => void {
  const source = new EventSource(address("pulse"));
  // What was answered before it is open may already be old: calls stored until now were not heard.
  source.onopen = () => (pulse.value = { ...pulse.value, count: pulse.value.count + Number(answered), connected: true });
  source.onerror = () => (pulse.value = { ...pulse.value, connected: false });
  source.addEventListener("stored", () => {
    pulse.value = { count: pulse.value.count + 1, at: Date.now(), connected: true };
  });
  source.addEventListener("annotated", () => (annotated.value += 1));
  return () => source.close();
}
