import { createContext, Fragment, type ReactNode, useContext } from "react";
import { splitMarks } from "./split-marks";

/** What a number in brackets stands for; null: nothing, so that it stays text. */
export type MarkOf = (n: number) => ReactNode | null;

/** References such as [2] in a model's text. Without it they are text. */
export const MarkContext = createContext<MarkOf | null>(null);

/** Text with its references. */
export function MarkedText({ value }: { value: string }) {
  const markOf = useContext(MarkContext);
  if (markOf === null || !value.includes("[")) return value;
  return splitMarks(value).map((piece) => (
    <Fragment key={piece.at}>{piece.n === null ? piece.text : (markOf(piece.n) ?? piece.text)}</Fragment>
  ));
}
