import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import type { IndexFile, IndexRun } from "../../../api/aliases";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { bytes, count, duration } from "../../../ui/format";
import { ShowMore } from "../../../ui/show-more";
import table from "../../../ui/table.module.css";
import { type JournalFilter, journalListQuery } from "../api";
import { cellStates, stateOf } from "../grid";
import { isMoving } from "../model";
import classes from "../sources.module.css";
import { SearchField } from "./search-field";

const actionWords: Record<IndexFile["action"], string> = { add: "Add", change: "Change", remove: "Remove" };
const actionSigns: Record<IndexFile["action"], string> = { add: "+", change: "~", remove: "−" };

function Row({ file, planned }: { file: IndexFile; planned: boolean }) {
  const state = stateOf(file);
  const look = cellStates.find((s) => s.key === state);
  return (
    <tr>
      <td className={classes.signCell} data-action={file.action}>
        <span aria-hidden>{actionSigns[file.action]}</span> {actionWords[file.action]}
      </td>
      <td className={table.clip}>
        <span title={file.path}>{file.path}</span>
        {file.error && <div className={classes.fileError}>{file.error.message}</div>}
      </td>
      {!planned && (
        <td className={table.muted}>
          <span className={classes.cell} data-state={state} aria-hidden>
            {look?.sign}
          </span>{" "}
          {file.status === "pending" && file.tries > 0 ? "Begun" : look?.label}
        </td>
      )}
      <td className={table.number}>{file.action === "remove" ? "–" : bytes(file.size)}</td>
      {!planned && (
        <>
          <td className={table.number}>{file.status === "done" ? count(file.chunks) : "–"}</td>
          <td className={table.number}>{file.millis > 0 ? duration(file.millis) : "–"}</td>
          <td className={table.number}>{file.tries > 1 ? file.tries : ""}</td>
        </>
      )}
    </tr>
  );
}

interface ChoiceProps {
  label: string;
  value: number;
  pressed: boolean;
  onPress: () => void;
}

function Choice({ label, value, pressed, onPress }: ChoiceProps) {
  return (
    <button type="button" className={classes.choice} aria-pressed={pressed} onClick={onPress}>
      {label} <b>{count(value)}</b>
    </button>
  );
}

interface Props {
  run: IndexRun;
  filter: JournalFilter;
  onFilter: (filter: JournalFilter) => void;
}

function Choices({ run, filter, onFilter }: Props) {
  const c = run.counts;
  const without = ({ status: _, action: __, ...rest }: JournalFilter) => rest;
  const action = (a: IndexFile["action"]) => () =>
    onFilter({ ...without(filter), ...(filter.action !== a && { action: a }) });
  const status = (s: IndexFile["status"]) => () =>
    onFilter({ ...without(filter), ...(filter.status !== s && { status: s }) });
  const todo = c.added + c.changed + c.removed;
  return (
    <div className={classes.choices}>
      <Choice
        label="All"
        value={todo}
        pressed={filter.action === undefined && filter.status === undefined}
        onPress={() => onFilter(without(filter))}
      />
      <Choice label="+ Add" value={c.added} pressed={filter.action === "add"} onPress={action("add")} />
      <Choice
        label="~ Change"
        value={c.changed}
        pressed={filter.action === "change"}
        onPress={action("change")}
      />
      <Choice
        label="− Remove"
        value={c.removed}
        pressed={filter.action === "remove"}
        onPress={action("remove")}
      />
      {run.status !== "planned" && (
        <>
          <Choice
            label="Not yet"
            value={Math.max(0, todo - c.done - c.failed)}
            pressed={filter.status === "pending"}
            onPress={status("pending")}
          />
          <Choice
            label="Failed"
            value={c.failed}
            pressed={filter.status === "failed"}
            onPress={status("failed")}
          />
        </>
      )}
      {run.mode === "delta" && <span className={classes.quiet}>{count(c.kept)} stay as they are</span>}
    </div>
  );
}

/** The files of a run with what is done with each: before it is applied its plan, after that how far it is. */
export function JournalTable({ run, filter, onFilter }: Props) {
  const planned = run.status === "planned";
  const list = useInfiniteQuery({
    ...journalListQuery(run.id, filter, isMoving(run)),
    placeholderData: keepPreviousData,
  });
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];
  const { q: _, ...withoutText } = filter;
  return (
    <>
      <div className={table.filters}>
        <Choices run={run} filter={filter} onFilter={onFilter} />
        <SearchField
          label="Search by path"
          value={filter.q ?? ""}
          width={220}
          onChange={(q) => onFilter({ ...withoutText, ...(q && { q }) })}
        />
      </div>
      {list.isError && <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />}
      {list.isPending && <Lines n={5} />}
      {list.isSuccess && items.length === 0 && <p className={classes.quiet}>No file is like that.</p>}
      {items.length > 0 && (
        <table className={table.table}>
          <thead>
            <tr>
              <th>What</th>
              <th>File</th>
              {!planned && <th>State</th>}
              <th className={table.number}>Size</th>
              {!planned && (
                <>
                  <th className={table.number}>Chunks</th>
                  <th className={table.number}>Took</th>
                  <th className={table.number}>Tries</th>
                </>
              )}
            </tr>
          </thead>
          <tbody>
            {items.map((file) => (
              <Row key={file.path} file={file} planned={planned} />
            ))}
          </tbody>
        </table>
      )}
      <ShowMore list={list} />
    </>
  );
}
