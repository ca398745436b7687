// Where the reader is: path and query of the address bar. Every choice on a page lives here and nowhere else, so that
// an address can be sent to somebody and shows the same.
import { signal } from "@preact/signals";

export interface Place {
  path: string;
  query: URLSearchParams;
}

function read(): Place {
  return { path: window.location.pathname, query: new URLSearchParams(window.location.search) };
}

export const place = signal<Place>(read());

window.addEventListener("popstate", () => {
  place.value = read();
});

/** What a change of the query sets: text, several texts, or null to take it out. */
export type Change = Record<string, string | string[] | null>;

// These hold on every page; what else is in the query belongs to the page.
const SHARED = ["range", "since", "until", "zone", "refresh", "where"];

function changed(query: URLSearchParams, change: Change): URLSearchParams {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(change)) {
    next.delete(name);
    for (const text of value === null ? [] : Array.isArray(value) ? value : [value]) next.append(name, text);
  }
  return next;
}

function written(path: string, query: URLSearchParams): string {
  // Commas, colons and equals are allowed in a query, and an address is there to be read.
  const text = query.toString().replaceAll("%2C", ",").replaceAll("%3A", ":").replaceAll("%3D", "=").replaceAll("%2F", "/");
  return text ? `${path}?${text}` : path;
}

/** The address of another page, with the range and the filters that are in force here. */
export function href(path: string, change: Change = {}): string {
  const { path: here, query } = place.value;
  const kept = new URLSearchParams();
  for (const [name, value] of query) if (path === here || SHARED.includes(name)) kept.append(name, value);
  return written(path, changed(kept, change));
}

/** Go to an address of ours. replace: no step back to where the reader was. */
export function go(address: string, replace = false): void {
  if (replace) window.history.replaceState(null, "", address);
  else window.history.pushState(null, "", address);
  const before = place.value.path;
  place.value = read();
  if (place.value.path !== before) {
    window.scrollTo(0, 0);
    document.getElementById("main")?.focus({ preventScroll: true });
  }
}

/** Change the query of this page. */
export function set(change: Change, replace = false): void {
  go(href(place.value.path, change), replace);
}

/** One choice of this page; `otherwise` where the address says nothing. */
export function choice(name: string, otherwise: string): string {
  return place.value.query.get(name) ?? otherwise;
}

/** Let links of ours change the page without loading it anew; everything else is the browser's. */
export function followed(event: MouseEvent): void {
  const anchor = (event.target as Element | null)?.closest?.("a");
  if (!anchor || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (anchor.target || anchor.hasAttribute("download") || anchor.origin !== window.location.origin) return;
  if (anchor.pathname.startsWith("/api/") || anchor.pathname === "/metrics" || anchor.hash) return;
  event.preventDefault();
  go(anchor.pathname + anchor.search);
}
