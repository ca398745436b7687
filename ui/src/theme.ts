// Light or dark: as the system says, unless the reader chose. The choice is of the reader, not of the view.
import { computed, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";
const KEY = "tachograph-theme";
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const system = signal<"light" | "dark">(dark.matches ? "dark" : "light");
dark.addEventListener("change", () => (system.value = dark.matches ? "dark" : "light"));

export const theme = signal<Theme>(stored());
export const scheme = computed(() => (theme.value === "system" ? system.value : theme.value));

function stored(): Theme {
  try {
    const value = window.localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system";
  }
}

export function choose(value: Theme): void {
  theme.value = value;
  try {
    window.localStorage.setItem(KEY, value);
  } catch {
    // a browser that keeps nothing forgets the choice, no more
  }
}
