// One of several: a row of buttons where they are few, a list where they are many. The choice is in the address.
import { choice, set } from "../place";

export interface Option {
  value: string;
  title: string;
}

interface Properties {
  /** the name in the address */
  name: string;
  label: string;
  options: Option[];
  otherwise: string;
  onChoose?: (value: string) => void;
}

export function Tabs({ name, label, options, otherwise, onChoose }: Properties) {
  const chosen = choice(name, otherwise);
  const choose = onChoose ?? ((value: string) => set({ [name]: value === otherwise ? null : value }));
  return (
    <div class="tabs" role="group" aria-label={label}>
      {options.map((option) => (
        <button type="button" key={option.value} aria-pressed={option.value === chosen} onClick={() => choose(option.value)}>
          {option.title}
        </button>
      ))}
    </div>
  );
}

export function Select({ name, label, options, otherwise, onChoose }: Properties) {
  const chosen = choice(name, otherwise);
  const choose = onChoose ?? ((value: string) => set({ [name]: value === otherwise ? null : value }));
  return (
    <label class="select">
      <span>{label}</span>
      <select value={chosen} onChange={(event) => choose(event.currentTarget.value)}>
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.title}
          </option>
        ))}
      </select>
    </label>
  );
}
