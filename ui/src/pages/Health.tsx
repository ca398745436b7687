// How Tachograph itself is: what became of everything that was accepted, how far behind storing is, which doors are
// open, how large the store is and what it keeps.
import type { ComponentChildren } from "preact";
import { address, pulse } from "../api";
import { useAnswer } from "../answers";
import { bytes, count, exact } from "../format";
import { Answered, Panel } from "../parts/Panel";
import { Table } from "../parts/Table";
import { ago, moment } from "../range";
import type { Health as HealthAnswer, Ledger } from "../types";

const LAG_SECONDS_MAX = 5;

export function Health() {
  const health = useAnswer<HealthAnswer>(address("health"), true);
  const ledger = useAnswer<Ledger>(address("ledger"), true);
  return (
    <>
      <div class="bar-over">
        <div class="bar-row">
          <h1>Health</h1>
        </div>
      </div>
      <div class="grid">
        <Answered answer={health} height={60}>
          {(is) => <Verdict is={is} ledger={ledger.data} failed={health.failure !== null} />}
        </Answered>
        <Panel title="Ledger" note="what became of everything that was accepted">
          <Answered answer={ledger} height={260}>
            {(is) => <Balance is={is} />}
          </Answered>
        </Panel>
        <Panel title="Doors">
          <Answered answer={health} height={200}>
            {(is) => <Doors is={is} />}
          </Answered>
        </Panel>
        <Panel title="Store">
          <Answered answer={health} height={260}>
            {(is) => <Store is={is} />}
          </Answered>
        </Panel>
        <Panel title="Counters" note="since the store was made; gauges are of this moment">
          <Answered answer={health} height={260}>
            {(is) => <Counters is={is} />}
          </Answered>
        </Panel>
      </div>
    </>
  );
}

function total(counts: Record<string, number> | number | undefined): number {
  if (counts === undefined) return 0;
  return typeof counts === "number" ? counts : Object.values(counts).reduce((sum, each) => sum + each, 0);
}

/** What is wrong, in sentences; nothing where all is well. */
export function troubles(is: HealthAnswer, ledger: Ledger | null): string[] {
  const found: string[] = [];
  const { counters } = is;
  if (is.lag_seconds > LAG_SECONDS_MAX) found.push(`Storing is ${Math.round(is.lag_seconds)} s behind accepting: the disk or the ClickHouse server is slow.`);
  if (ledger && !ledger.balanced) found.push("The ledger does not balance: something that was accepted is missing. Please report it.");
  if (is.doors["gateway"] && counters["gateway_up"] === 0) found.push("The gateway's Envoy does not serve: the log of `tachograph up` says why.");
  if (total(counters["gateway_log_writes_failed"]) > 0) found.push("Envoy could not write its log: make room on the disk.");
  if (total(counters["gateway_lines_lost_total"]) > 0) found.push(`${exact(total(counters["gateway_lines_lost_total"]))} lines of the gateway's log were given up unread: raise gateway_log_bytes_max.`);
  return found;
}

function Verdict({ is, ledger, failed }: { is: HealthAnswer; ledger: Ledger | null; failed: boolean }) {
  const found = troubles(is, ledger);
  const fine = found.length === 0 && !failed;
  return (
    <div class={`verdict ${fine ? "fine" : "trouble"}`} role="status">
      <b>{fine ? "All is well" : failed ? "Tachograph does not answer" : "Something needs a look"}</b>
      {found.map((each) => (
        <p key={each}>{each}</p>
      ))}
      <p class="muted">
        Version {is.version} · storing is {is.lag_seconds < 0.05 ? "not behind" : `${is.lag_seconds.toFixed(1)} s behind`} ·{" "}
        {is.store.newest ? `newest call ${ago(is.store.newest)}` : "no call yet"} · {pulse.value.connected ? "following live" : "not connected to the live stream"}
      </p>
    </div>
  );
}

function Balance({ is }: { is: Ledger }) {
  const accepted = total(is.accepted);
  const fates: [string, number, string, Record<string, number> | null][] = [
    ["stored", is.stored, "durable in the store", null],
    ["deduplicated", is.deduplicated, "were there already, so they count once", null],
    ["ignored", total(is.ignored), "say nothing about a model call", is.ignored],
    ["refused", total(is.refused), "cannot be used: whoever sent them was told", is.refused],
    ["in flight", is.in_flight, "not decided yet", null],
  ];
  return (
    <>
      <p class="sentence">
        <b>{exact(accepted)}</b> accepted{" "}
        {Object.entries(is.accepted).map(([door, n]) => (
          <span class="tag" key={door}>
            {door} {count(n)}
          </span>
        ))}
      </p>
      <div class="stacked-bar" role="img" aria-label={fates.map(([name, n]) => `${exact(n)} ${name}`).join(", ")}>
        {fates.map(([name, n]) => (n > 0 ? <i key={name} class={`fate-${name.replace(" ", "-")}`} style={{ flexGrow: n }} title={`${name}: ${exact(n)}`} /> : null))}
      </div>
      <Table
        caption="Fates"
        rows={fates}
        rowKey={([name]) => name}
        columns={[
          { key: "name", title: "fate", cell: ([name]) => (<><i class={`swatch fate-${name.replace(" ", "-")}`} /> {name}</>) },
          { key: "n", title: "items", number: true, cell: ([, n]) => exact(n) },
          { key: "words", title: "", cell: ([, , words, reasons]) => (<><span class="muted">{words}</span> {reasons && Object.entries(reasons).map(([why, n]) => <span class="tag" key={why}>{why} {exact(n)}</span>)}</>) },
        ]}
      />
      <p class={is.balanced ? "good" : "bad"}>{is.balanced ? "It adds up: nothing is missing." : "It does not add up."}</p>
    </>
  );
}

const DOORS: [string, string, string][] = [
  ["api", "API and screens", "listen"],
  ["otlp_http", "OTLP over HTTP", "otlp_http"],
  ["otlp_grpc", "OTLP over gRPC", "otlp_grpc"],
  ["gateway", "Gateway", "gateway"],
];

function Doors({ is }: { is: HealthAnswer }) {
  const requests = is.counters["otlp_requests_total"];
  const seen = (door: string) => (typeof requests === "object" ? requests[door] : undefined);
  return (
    <Table
      caption="Doors"
      rows={DOORS}
      rowKey={([name]) => name}
      columns={[
        { key: "title", title: "door", cell: ([, title]) => title },
        { key: "state", title: "state", cell: ([name]) => (is.doors[name] ? <span class="tag good">open</span> : <span class="tag">shut</span>) },
        { key: "where", title: "address", cell: ([name, , setting]) => (is.doors[name] ? <code>{is.doors[name]}</code> : <span class="muted">setting <code>{setting}</code></span>) },
        { key: "requests", title: "requests", number: true, cell: ([name]) => (name.startsWith("otlp") ? count(seen(name) ?? seen(name.replace("otlp_", "")) ?? null) : "") },
      ]}
    />
  );
}

const TABLES: Record<string, string> = { calls: "single calls", calls_minute: "by minute", calls_hour: "by hour", calls_day: "by day" };

function Store({ is }: { is: HealthAnswer }) {
  const { store } = is;
  const size = store.tables.reduce((sum, table) => sum + table.bytes_on_disk, 0);
  const largest = store.tables.reduce((most, table) => Math.max(most, table.bytes_on_disk), 1);
  return (
    <>
      <p class="sentence">
        <b>{exact(store.calls)}</b> calls{store.repeated_sightings > 0 && ` and ${exact(store.repeated_sightings)} further sightings of them`} in <b>{bytes(size)}</b>
        {store.bytes_per_call !== null && ` (${store.bytes_per_call} bytes a call, with all roll-ups)`}
        {store.oldest && store.newest && `, from ${moment(store.oldest)} to ${moment(store.newest)}`}.
      </p>
      <Table
        caption="Tables of the store"
        rows={store.tables}
        rowKey={(table) => table.table}
        columns={[
          { key: "table", title: "table", cell: (table) => TABLES[table.table] ?? table.table },
          { key: "rows", title: "rows", number: true, cell: (table) => exact(table.rows) },
          { key: "bytes", title: "on disk", number: true, bar: (table) => table.bytes_on_disk / largest, cell: (table) => bytes(table.bytes_on_disk) },
          { key: "parts", title: "parts", number: true, cell: (table) => exact(table.parts) },
          { key: "kept", title: "kept for", number: true, cell: (table) => kept(is.retention_days?.[table.table]) },
        ]}
      />
    </>
  );
}

function kept(days: number | undefined): string {
  if (days === undefined) return "for ever";
  return days % 365 === 0 ? `${days / 365} years` : `${days} days`;
}

function Counters({ is }: { is: HealthAnswer }) {
  const rows = Object.entries(is.counters).flatMap<[string, string, number]>(([name, value]) =>
    typeof value === "number" ? [[name, "", value]] : Object.entries(value).map(([label, n]): [string, string, number] => [name, label, n]),
  );
  const cell = (content: ComponentChildren) => content;
  return (
    <Table
      caption="Counters"
      rows={rows.filter(([, , n]) => n !== 0)}
      rowKey={([name, label]) => `${name} ${label}`}
      rowsMax={12}
      columns={[
        { key: "name", title: "counter", value: ([name]) => name, cell: ([name]) => cell(<code>{name}</code>) },
        { key: "label", title: "of", value: ([, label]) => label, cell: ([, label]) => label },
        { key: "n", title: "value", number: true, value: ([, , n]) => n, cell: ([, , n]) => (Number.isInteger(n) ? exact(n) : n.toFixed(3)) },
      ]}
    />
  );
}
