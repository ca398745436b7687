// How calls come here: a text to paste for each way in and language, and a light that turns green when the first arrives.
import { useEffect, useState } from "preact/hooks";
import { address } from "../api";
import { useAnswer } from "../answers";
import { count, labelled, milliseconds, money } from "../format";
import { Tabs } from "../parts/Choice";
import { Code } from "../parts/Code";
import { Answered, Panel } from "../parts/Panel";
import { choice, href, set } from "../place";
import type { Call, Connect as ConnectAnswer } from "../types";
import { type Way, ways } from "./snippets";

export function Connect() {
  const answer = useAnswer<ConnectAnswer>(address("connect"));
  return (
    <>
      <div class="bar-over">
        <div class="bar-row">
          <h1>Connect</h1>
        </div>
      </div>
      <div class="grid">
        <Light stored={answer.data?.calls ?? 0} />
        <Answered answer={answer} height={400}>
          {(connect) => <Ways all={ways(connect, window.location.hostname)} connect={connect} />}
        </Answered>
      </div>
    </>
  );
}

/** The first call that arrives while the page is open. */
function useArrival(): Call | null {
  const [call, setCall] = useState<Call | null>(null);
  useEffect(() => {
    const source = new EventSource(address("calls/stream"));
    source.addEventListener("call", (event) => {
      setCall(JSON.parse((event as MessageEvent<string>).data) as Call);
    });
    return () => source.close();
  }, []);
  return call;
}

function Light({ stored }: { stored: number }) {
  const call = useArrival();
  return (
    <div class={`light ${call ? "on" : ""}`} role="status">
      <i aria-hidden="true" />
      {call ? (
        <p>
          <b>It works.</b> A call arrived: {call.provider} · {labelled(call.response_model ?? call.request_model)} · {milliseconds(call.duration_ms)} ·{" "}
          {count(call.total_tokens)} tokens · {money(call.cost_usd === null ? null : Number(call.cost_usd))}. <a href={href(`/calls/${call.call_id}`)}>Look at it</a>
        </p>
      ) : (
        <p>
          <b>Waiting for a call.</b> This turns green when one arrives.{stored > 0 && <span class="muted"> {count(stored)} are stored already.</span>}
        </p>
      )}
    </div>
  );
}

function Ways({ all, connect }: { all: Way[]; connect: ConnectAnswer }) {
  const first = all.find((way) => !way.shut) ?? all[0];
  const way = all.find((each) => each.name === choice("way", first?.name ?? "sdk")) ?? first;
  if (!way) return null;
  const snippet = way.snippets.find((each) => each.language === choice("language", "")) ?? way.snippets[0];
  return (
    <div class="grid">
      <div class="ways" role="group" aria-label="Way in">
        {all.map((each) => (
          <button type="button" key={each.name} class="way" aria-pressed={each === way} onClick={() => set({ way: each.name, language: null })}>
            <b>{each.title}</b>
            <span>{each.words}</span>
          </button>
        ))}
      </div>
      <Panel title={`${way.title}: what to paste`} wide>
        {way.shut && (
          <p class="old">
            This door is shut here: give the setting <code>{way.shut}</code> an address, such as <code>TACHOGRAPH_{way.shut.toUpperCase()}</code>, and start again.
          </p>
        )}
        <Tabs name="language" label="Language" options={way.snippets.map((each) => ({ value: each.language, title: each.title }))} otherwise={way.snippets[0]?.language ?? ""} />
        {snippet && (
          <div class="snippet">
            {snippet.install && <Code label="Install" text={snippet.install} />}
            <Code label={snippet.title} text={snippet.code} />
            {snippet.note && <p class="muted">{snippet.note}</p>}
          </div>
        )}
        {connect.key_needed && (
          <p class="muted">
            Doors beyond this machine need a key: <code>tachograph key add NAME --scope {way.name === "gateway" ? "gateway" : "ingest"}</code> makes one; put it where <code>tg_...</code> stands.
          </p>
        )}
      </Panel>
      {way.name === "gateway" && (
        <Panel title="Prefixes of the gateway" wide note="a prefix takes the place of the provider's scheme and host">
          <ul class="prefixes">
            {connect.routes.map((route) => (
              <li key={route.prefix}>
                <code>{route.prefix}</code> <span class="muted">{route.provider}</span>
              </li>
            ))}
          </ul>
        </Panel>
      )}
    </div>
  );
}
