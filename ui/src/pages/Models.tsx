// Which models answered: every version, what changed when a version changed, and what each costs.
import { filters, useAnswer } from "../answers";
import { address } from "../api";
import { Bar } from "../parts/Bar";
import { current } from "../range";
import "../style/models.css";
import type { Models as Answer } from "../types";
import { Changes } from "./ModelsChanges";
import { Prices } from "./ModelsPrices";
import { Unpriced } from "./ModelsUnpriced";
import { Versions } from "./ModelsVersions";

export function Models() {
  const range = current();
  const models = useAnswer<Answer>(address("models", { since: range.since, until: range.until, where: filters() }), range.live);
  return (
    <>
      <Bar title="Models" />
      <div class="grid models">
        <Versions models={models} />
        <Changes />
        <Unpriced models={models} />
        <Prices models={models} />
      </div>
    </>
  );
}
