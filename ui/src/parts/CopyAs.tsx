// The question of a table or chart in other languages: SQL for the store, PromQL for a Prometheus, curl for the API.
import { useEffect, useRef, useState } from "preact/hooks";
import { type Parameters, address, session } from "../api";
import { useAnswer } from "../answers";
import type { AskText } from "../types";
import { listed } from "../words";
import { Code } from "./Code";
import { Answered } from "./Panel";

const LANGUAGES = ["SQL", "PromQL", "curl"] as const;
type Language = (typeof LANGUAGES)[number];

export function CopyAs({ question }: { question: Parameters }) {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLSpanElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) return;
    const left = (event: Event) => {
      if (!box.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("mousedown", left);
    document.addEventListener("focusin", left);
    return () => {
      document.removeEventListener("mousedown", left);
      document.removeEventListener("focusin", left);
    };
  }, [open]);
  const key = (event: KeyboardEvent) => {
    if (event.key !== "Escape" || !open) return;
    setOpen(false);
    button.current?.focus();
  };
  return (
    <span class="custom copy-as" ref={box} onKeyDown={key}>
      <button type="button" ref={button} aria-haspopup="dialog" aria-expanded={open} onClick={() => setOpen(!open)}>
        Copy as
      </button>
      {open && <Languages question={question} />}
    </span>
  );
}

function Languages({ question }: { question: Parameters }) {
  const [language, setLanguage] = useState<Language>("SQL");
  const first = useRef<HTMLDivElement>(null);
  useEffect(() => first.current?.querySelector("button")?.focus(), []);
  return (
    <div class="popover" role="dialog" aria-label="The question in other languages">
      <div class="tabs" role="group" aria-label="Language" ref={first}>
        {LANGUAGES.map((each) => (
          <button type="button" key={each} aria-pressed={each === language} onClick={() => setLanguage(each)}>
            {each}
          </button>
        ))}
      </div>
      {language === "curl" ? <Code text={curl(question)} label="curl" /> : <Text question={question} language={language} />}
    </div>
  );
}

function Text({ question, language }: { question: Parameters; language: Language }) {
  const answer = useAnswer<AskText>(address("ask/text", question));
  return (
    <Answered answer={answer} height={120}>
      {(text) => (language === "SQL" ? <Code text={text.sql} label="SQL" /> : <PromQL text={text} />)}
    </Answered>
  );
}

function PromQL({ text }: { text: AskText }) {
  return (
    <>
      {text.promql.map((each) => (
        <div key={each.measure}>
          <h3>{listed(each.measure)}</h3>
          <Code text={each.expression} label={`PromQL of ${each.measure}`} />
        </div>
      ))}
      {text.promql_missing.map((each) => (
        <div key={each.measure}>
          <h3>{listed(each.measure)}</h3>
          <p class="muted">Prometheus cannot tell: {each.why}.</p>
        </div>
      ))}
    </>
  );
}

/** The address cannot hold a single quote: a query is written with %27 for it. */
function curl(question: Parameters): string {
  const key = session.value?.login ? ` \\\n  -H "Authorization: Bearer $TACHOGRAPH_KEY"` : "";
  return `curl '${window.location.origin}${address("ask", question)}'${key}`;
}
