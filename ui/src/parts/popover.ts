// What opens over a page closes when one clicks beside it.
import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";

/** box: what is open; its parent holds the button that opened it. first: what gets the focus once it is open. */
export function useClickBeside(box: RefObject<HTMLElement>, close: () => void, open = true, first?: string): void {
  useEffect(() => {
    if (!open) return;
    if (first !== undefined) box.current?.querySelector<HTMLElement>(first)?.focus();
    const left = (event: MouseEvent) => {
      if (!box.current?.parentElement?.contains(event.target as Node)) close();
    };
    document.addEventListener("mousedown", left);
    return () => document.removeEventListener("mousedown", left);
  }, [open]);
}
