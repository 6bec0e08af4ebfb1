import { Button } from "@mantine/core";
import { useMemo, useState } from "react";
import type { Json } from "../api/aliases";
import { CopyButton } from "./feedback";
import { bytes } from "./format";
import classes from "./json-view.module.css";

const foldAt = 20_000;

/** A value as it is; what is large is folded and says how large. */
export function JsonView({ value, empty }: { value: Json | undefined; empty: string }) {
  const [whole, setWhole] = useState(false);
  const text = useMemo(() => (typeof value === "string" ? value : JSON.stringify(value, null, 2)), [value]);
  if (value === undefined || value === null || text === undefined)
    return <p className={classes.empty}>{empty}</p>;
  const folded = !whole && text.length > foldAt;
  return (
    <div className={classes.frame}>
      <div className={classes.copy}>
        <CopyButton text={text} />
      </div>
      <pre className={classes.text}>{folded ? text.slice(0, foldAt) : text}</pre>
      {folded && (
        <Button variant="default" onClick={() => setWhole(true)}>
          Show all {bytes(text.length)}
        </Button>
      )}
    </div>
  );
}
