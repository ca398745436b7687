// The tokens of one call: parts of a bar, with their numbers.
import { exact, share } from "../format";
import { Panel } from "../parts/Panel";
import type { FullCall } from "./CallFields";
import { partsOf } from "./CallParts";

const SOURCES: Record<string, string> = {
  reported: "As the provider reported them.",
  estimated: "Estimated: the provider told no usage, the output was counted from the pieces of the stream.",
  missing: "Nobody told the tokens of this call.",
};
const BASES: Record<string, string> = {
  inclusive: "It counts cached tokens inside the input; here they stand apart.",
  exclusive: "It counts cached tokens beside the input.",
  disjoint: "It tells each part by itself.",
};

export function CallTokens({ call }: { call: FullCall }) {
  const { parts, within, untold, total } = partsOf(call);
  const colour = (name: string) => `part-${name}`;
  return (
    <Panel title="Tokens" note={total ? `${exact(total)} in all` : ""}>
      {total > 0 && (
        <div class="part-bar" aria-hidden="true">
          {parts.map((part) => part.tokens > 0 && <i key={part.name} class={colour(part.name)} style={{ flexGrow: part.tokens }} title={`${part.title}: ${exact(part.tokens)}`} />)}
        </div>
      )}
      {parts.length > 0 && (
        <table class="parts">
          <caption class="sr">Tokens by part</caption>
          <tbody>
            {parts.map((part) => (
              <tr key={part.name}>
                <th scope="row">
                  <i class={`swatch ${colour(part.name)}`} aria-hidden="true" /> {part.title}
                </th>
                <td class="number">{exact(part.tokens)}</td>
                <td class="number muted">{share(part.share)}</td>
              </tr>
            ))}
            <tr class="sum">
              <th scope="row">input → output</th>
              <td class="number" colSpan={2}>
                {exact(call.input_tokens)} → {exact(call.output_tokens)}
              </td>
            </tr>
            {within.map((each) => (
              <tr key={each.title} class="muted">
                <th scope="row">of the {each.title}</th>
                <td class="number">{exact(each.tokens)}</td>
                <td />
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <p class="muted note">
        {SOURCES[call.usage_source] ?? call.usage_source} {call.usage_basis ? (BASES[call.usage_basis] ?? call.usage_basis) : ""}
        {untold.length > 0 && parts.length > 0 && ` Not told: ${untold.join("; ")}.`}
      </p>
    </Panel>
  );
}
