// What opens over a page closes when one goes on beside it, and on Escape, which leads back to the button that opened it.
import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";

/** box: what is open; its parent holds the button that opened it. first: what gets the focus once it is open. */
export function usePopover(box: RefObject<HTMLElement>, close: () => void, open = true, first?: string): void {
  useEffect(() => {
    if (!open) return;
    const holder = box.current?.parentElement;
    if (first !== undefined) box.current?.querySelector<HTMLElement>(first)?.focus();
    const beside = (event: Event) => {
      if (!holder?.contains(event.target as Node)) close();
    };
    const key = (event: KeyboardEvent) => {
      if (event.key !== "Escape") return;
      close();
      holder?.querySelector<HTMLElement>("button[aria-expanded]")?.focus();
    };
    document.addEventListener("mousedown", beside);
    document.addEventListener("focusin", beside);
    holder?.addEventListener("keydown", key);
    return () => {
      document.removeEventListener("mousedown", beside);
      document.removeEventListener("focusin", beside);
      holder?.removeEventListener("keydown", key);
    };
  }, [open]);
}
