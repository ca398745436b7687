// The frame around every page: where one can go, who one is, light or dark.
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { send, session, signedIn } from "../api";
import { href, place } from "../place";
import { PAGES } from "../routes";
import { type Theme, choose, scheme, theme } from "../theme";

export function Shell({ children }: { children: ComponentChildren }) {
  const here = place.value.path;
  useEffect(() => {
    document.documentElement.dataset["scheme"] = scheme.value;
  }, [scheme.value]);
  return (
    <div class="shell">
      <a class="skip" href="#main">
        Skip to the page
      </a>
      <header class="side">
        <a class="brand" href={href("/")}>
          <img src="/icon.svg" alt="" />
          Tachograph
        </a>
        <nav aria-label="Pages">
          {PAGES.filter((page) => page.listed && (!page.whole || !session.value?.teams.length)).map((page) => (
            <a key={page.path} href={href(page.path)} aria-current={page.path === here || (page.path !== "/" && here.startsWith(`${page.path}/`)) ? "page" : undefined}>
              {page.title}
            </a>
          ))}
        </nav>
        <div class="side-foot">
          <Who />
          <label class="select">
            <span class="sr">Colours</span>
            <select value={theme.value} onChange={(event) => choose(event.currentTarget.value as Theme)}>
              <option value="system">As the system</option>
              <option value="light">Light</option>
              <option value="dark">Dark</option>
            </select>
          </label>
        </div>
      </header>
      <main class="main" id="main" tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}

function Who() {
  const who = session.value;
  if (!who?.csrf) return null;
  const out = async () => {
    await send("DELETE", "session");
    await signedIn();
  };
  return (
    <span>
      {who.name} <span class="tag">{who.role}</span>
      {who.teams.length > 0 && <span class="tag">{who.teams.join(", ")}</span>}
      <button type="button" class="plain" onClick={out}>
        Sign out
      </button>
    </span>
  );
}
