import { Tooltip } from "@mantine/core";
import type { ChatContext } from "../../../api/aliases";
import { count } from "../../../ui/format";
import { contextShares } from "../model";
import classes from "./context-meter.module.css";

const percent = (part: number, of: number): string => (of > 0 ? `${((100 * part) / of).toFixed(0)} %` : "–");

/** What the model's window was filled with, as a bar. */
export function ContextBar({ context }: { context: ChatContext }) {
  const shares = contextShares(context);
  return (
    <div
      className={classes.bar}
      role="img"
      aria-label={`The context holds ${count(context.used.total)} of ${count(context.window_tokens)} tokens`}
    >
      {shares
        .filter((s) => s.key !== "free" && s.tokens > 0)
        .map((s) => (
          <span
            key={s.key}
            data-share={s.key}
            style={{ width: `${Math.min(100, (100 * s.tokens) / context.window_tokens)}%` }}
          />
        ))}
    </div>
  );
}

/** The same with its numbers. */
export function ContextTable({ context }: { context: ChatContext }) {
  return (
    <div className={classes.meter}>
      <ContextBar context={context} />
      <table>
        <tbody>
          {contextShares(context).map((s) => (
            <tr key={s.key}>
              <th scope="row">
                <span className={classes.dot} data-share={s.key} aria-hidden />
                {s.label}
              </th>
              <td>{count(s.tokens)}</td>
              <td className={classes.of}>{percent(s.tokens, context.window_tokens)}</td>
              <td className={classes.of}>
                {s.budget === null ? (
                  ""
                ) : (
                  <Tooltip label="Its budget: more than that does not go to the model">
                    <span>of {count(s.budget)}</span>
                  </Tooltip>
                )}
              </td>
            </tr>
          ))}
          <tr className={classes.total}>
            <th scope="row">Window</th>
            <td>{count(context.window_tokens)}</td>
            <td />
            <td />
          </tr>
        </tbody>
      </table>
    </div>
  );
}
