// The question of a page, to be asked elsewhere: as SQL, as PromQL, as curl.
import { useRef, useState } from "preact/hooks";
import { type Parameters, address, keyed } from "../api";
import { useAnswer } from "../answers";
import { curl } from "../export";
import { listed } from "../words";
import type { AskText } from "../types";
import { Code } from "./Code";
import { Answered } from "./Panel";
import { usePopover } from "./popover";

const WAYS = ["SQL", "PromQL", "curl"] as const;

export function CopyAs({ question }: { question: Parameters }) {
  const [open, setOpen] = useState(false);
  return (
    <span class="custom">
      <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
        Copy as
      </button>
      {open && <Ways question={question} close={() => setOpen(false)} />}
    </span>
  );
}

function Ways({ question, close }: { question: Parameters; close: () => void }) {
  const [way, setWay] = useState<(typeof WAYS)[number]>("SQL");
  const answer = useAnswer<AskText>(way === "curl" ? null : address("ask/text", question));
  const box = useRef<HTMLDivElement>(null);
  usePopover(box, close, true, "button");
  return (
    <div class="popover copy-as" ref={box} role="dialog" aria-label="Copy the question">
      <div class="tabs" role="group" aria-label="Copy as">
        {WAYS.map((each) => (
          <button type="button" key={each} aria-pressed={each === way} onClick={() => setWay(each)}>
            {each}
          </button>
        ))}
      </div>
      {way === "curl" ? (
        <Code label="curl" text={curl(address("ask", question), keyed())} />
      ) : (
        <Answered answer={answer} height={80}>
          {(text) => (way === "SQL" ? <Code label="SQL" text={text.sql} /> : <PromQL text={text} />)}
        </Answered>
      )}
    </div>
  );
}

function PromQL({ text }: { text: AskText }) {
  return (
    <>
      {text.promql.map((each) => (
        <Code key={each.measure} label={`PromQL of ${listed(each.measure)}`} text={each.expression} />
      ))}
      {text.promql_missing.map((each) => (
        <p key={each.measure} class="muted">
          {listed(each.measure)}: {each.why}
        </p>
      ))}
    </>
  );
}
