// A table whose columns can be sorted; numbers to the right, a bar behind a share, and a row that leads somewhere.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { choice, set } from "../place";

export interface Column<Row> {
  key: string;
  title: string;
  /** what the header explains when it is pointed at */
  meaning?: string;
  cell: (row: Row) => ComponentChildren;
  /** what is sorted by; a column without it is not sorted */
  value?: (row: Row) => number | string | null | undefined;
  number?: boolean;
  /** 0 to 1: how long the bar behind the figure is */
  bar?: (row: Row) => number;
}

interface Properties<Row> {
  columns: Column<Row>[];
  rows: Row[];
  rowKey: (row: Row) => string;
  caption: string;
  /** the name in the address under which the order is kept; without it the order is the table's own */
  order?: string;
  /** column key, with "-" in front for descending */
  orderOtherwise?: string;
  rowsMax?: number;
  rowClass?: (row: Row) => string | undefined;
}

export function Table<Row>({ columns, rows, rowKey, caption, order, orderOtherwise = "", rowsMax = 50, rowClass }: Properties<Row>) {
  const [own, setOwn] = useState(orderOtherwise);
  const [all, setAll] = useState(false);
  const by = order ? choice(order, orderOtherwise) : own;
  const sort = (next: string) => (order ? set({ [order]: next === orderOtherwise ? null : next }, true) : setOwn(next));
  const sorted = ordered(rows, columns, by);
  const shown = all ? sorted : sorted.slice(0, rowsMax);
  return (
    <div class="table" role="region" aria-label={caption} tabIndex={0}>
      <table>
        <caption class="sr">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <Head key={column.key} column={column} by={by} sort={sort} />
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => (
            <tr key={rowKey(row)} class={rowClass?.(row)}>
              {columns.map((column) => (
                <td key={column.key} class={column.number ? "number" : undefined}>
                  {column.bar && <i class="bar" style={{ width: `${Math.max(0, Math.min(1, column.bar(row))) * 100}%` }} />}
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {sorted.length > shown.length && (
        <button type="button" class="plain more" onClick={() => setAll(true)}>
          Show all {sorted.length}
        </button>
      )}
    </div>
  );
}

interface HeadProperties<Row> {
  column: Column<Row>;
  by: string;
  sort: (next: string) => void;
}

function Head<Row>({ column, by, sort }: HeadProperties<Row>) {
  const up = by === column.key;
  const down = by === `-${column.key}`;
  const style = column.number ? "number" : undefined;
  if (!column.value) {
    return (
      <th scope="col" class={style} title={column.meaning}>
        {column.title}
      </th>
    );
  }
  return (
    <th scope="col" class={style} aria-sort={up ? "ascending" : down ? "descending" : "none"} title={column.meaning}>
      <button type="button" class="plain" onClick={() => sort(down ? column.key : `-${column.key}`)}>
        {column.title}
        <span aria-hidden="true">{up ? " ↑" : down ? " ↓" : ""}</span>
      </button>
    </th>
  );
}

function ordered<Row>(rows: Row[], columns: Column<Row>[], by: string): Row[] {
  const column = columns.find((each) => each.key === by.replace(/^-/, ""));
  const value = column?.value;
  if (!value) return rows;
  const way = by.startsWith("-") ? -1 : 1;
  // What is not known comes last, whichever way.
  return [...rows].sort((a, b) => {
    const [left, right] = [value(a), value(b)];
    if (left === right) return 0;
    if (left === null || left === undefined) return 1;
    if (right === null || right === undefined) return -1;
    return left < right ? -way : way;
  });
}
