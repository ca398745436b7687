// A text to take along: shown as it is, with a button that copies it.
import { useState } from "preact/hooks";

const SAID_MS = 1600;

/** Put a text on the clipboard; false where the browser does not let us. */
export async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return fallen(text);
  }
}

/** Pages that are not served over TLS have no clipboard of their own. */
function fallen(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

export function Copy({ text, title = "Copy" }: { text: string; title?: string }) {
  const [said, setSaid] = useState("");
  const copy = async () => {
    setSaid((await copied(text)) ? "Copied" : "Select it and copy");
    window.setTimeout(() => setSaid(""), SAID_MS);
  };
  return (
    <button type="button" class="copy" onClick={copy}>
      {said || title}
      <span class="sr" role="status">
        {said}
      </span>
    </button>
  );
}

export function Code({ text, label }: { text: string; label: string }) {
  return (
    <div class="code">
      <pre tabIndex={0} aria-label={label}>
        <code>{text}</code>
      </pre>
      <Copy text={text} />
    </div>
  );
}
