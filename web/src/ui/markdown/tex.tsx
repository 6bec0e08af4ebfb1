import "katex/dist/katex.min.css";
import katex from "katex";
import { useLayoutEffect, useRef } from "react";

/** Maths. What is not valid is shown as it was written, in red. */
export function Tex({ source, display }: { source: string; display: boolean }) {
  const at = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    if (!at.current) return;
    katex.render(source, at.current, {
      displayMode: display,
      throwOnError: false,
      errorColor: "var(--st-failed)",
      strict: "ignore",
      trust: false, // no addresses and classes from a model
      maxSize: 20,
      maxExpand: 500,
    });
  }, [source, display]);
  return <span ref={at} />;
}
