// Every page, in one list: its path, its name, and whether the frame lists it.
import type { ComponentType } from "preact";
import { Call } from "./pages/Call";
import { Calls } from "./pages/Calls";
import { Connect } from "./pages/Connect";
import { Errors } from "./pages/Errors";
import { Explore } from "./pages/Explore";
import { Health } from "./pages/Health";
import { Models } from "./pages/Models";
import { Overview } from "./pages/Overview";
import { People } from "./pages/People";

export interface Page {
  path: string;
  title: string;
  page: ComponentType;
  listed: boolean;
  /** tells of all teams: not for who may see some only */
  whole?: boolean;
}

export const PAGES: Page[] = [
  { path: "/", title: "Overview", page: Overview, listed: true },
  { path: "/explore", title: "Explore", page: Explore, listed: true },
  { path: "/calls", title: "Calls", page: Calls, listed: true },
  { path: "/models", title: "Models", page: Models, listed: true },
  { path: "/people", title: "People and teams", page: People, listed: true },
  { path: "/errors", title: "Errors", page: Errors, listed: true },
  { path: "/health", title: "Health", page: Health, listed: true, whole: true },
  { path: "/connect", title: "Connect", page: Connect, listed: true },
  { path: "/call", title: "Call", page: Call, listed: false },
];

/** The page at a path: /calls/ID is one call. */
export function found(path: string): Page | undefined {
  if (/^\/calls\/[0-9a-f-]{32,36}$/.test(path)) return PAGES.find((page) => page.path === "/call");
  return PAGES.find((page) => page.path === path && page.path !== "/call");
}
