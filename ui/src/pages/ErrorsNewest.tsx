// The newest failed calls, each a way to all that is known of it.
import { useAnswer } from "../answers";
import { address } from "../api";
import { labelled, milliseconds } from "../format";
import { Answered, Panel } from "../parts/Panel";
import { type Column, Table } from "../parts/Table";
import { href } from "../place";
import { ago, current, moment } from "../range";
import type { Call, CallPage } from "../types";
import { inline } from "../words";
import { Filtering } from "./ErrorsFiltering";
import { GOOD } from "./ErrorsOverTime";
import { fault } from "./ErrorsWords";

const CALLS = 20;

export function Newest({ failed }: { failed: string[] }) {
  const range = current();
  const answer = useAnswer<CallPage>(address("calls", { where: failed, since: range.since, until: range.until, limit: CALLS }), range.live);
  const more = <a href={href("/calls", { where: failed })}>All failed calls</a>;
  return (
    <Panel title="The newest failed calls" wide actions={more}>
      <Answered answer={answer} height={300} empty={(page) => page.calls.length === 0} nothing={GOOD}>
        {(page) => (
          <div class="newest">
            <Table caption="Failed calls, the newest first" rows={page.calls} rowKey={(call) => call.call_id} rowsMax={10} columns={COLUMNS} />
          </div>
        )}
      </Answered>
    </Panel>
  );
}

const COLUMNS: Column<Call>[] = [
  {
    key: "at",
    title: "when",
    cell: (call) => (
      <a class="nowrap" href={href(`/calls/${call.call_id}`)} title={`${moment(call.started_at, true)}: show the call`}>
        {ago(call.started_at)}
      </a>
    ),
  },
  { key: "type", title: inline("error_type"), cell: (call) => <Filtering name="error_type" value={call.error_type} shown={fault(call.error_type).title} /> },
  { key: "status", title: inline("status"), number: true, cell: (call) => (call.status === null ? <span class="muted">none</span> : <Filtering name="status" value={String(call.status)} />) },
  { key: "code", title: inline("error_code"), cell: (call) => (call.error_code ? <code>{call.error_code}</code> : <span class="muted">–</span>) },
  { key: "provider", title: inline("provider"), cell: (call) => <Filtering name="provider" value={call.provider} /> },
  { key: "model", title: inline("model"), cell: (call) => <Filtering name="model" value={call.model} shown={labelled(call.model ?? call.request_model)} /> },
  { key: "team", title: inline("team"), cell: (call) => <Filtering name="team" value={(call["team"] as string) ?? ""} /> },
  { key: "service", title: inline("service"), cell: (call) => <Filtering name="service" value={(call["service"] as string) ?? ""} /> },
  { key: "attempt", title: inline("attempt"), number: true, cell: (call) => (call.attempt === 0 ? <span class="muted">first</span> : `retry ${call.attempt}`) },
  { key: "retry", title: inline("retry_after_ms"), number: true, meaning: "how long the provider asked to wait before the next try", cell: (call) => milliseconds(call["retry_after_ms"] as number | null) },
  { key: "duration", title: "failed after", number: true, cell: (call) => milliseconds(call.duration_ms) },
];
