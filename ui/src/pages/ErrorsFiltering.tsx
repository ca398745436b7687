// A value that narrows the page to itself.
import { labelled } from "../format";
import { narrow } from "../parts/Filters";

export function Filtering({ name, value, shown = labelled(value) }: { name: string; value: string | null; shown?: string }) {
  return (
    <button type="button" class="cellgo" title="Narrow the page to it" onClick={() => narrow(name, value)}>
      {shown}
    </button>
  );
}
