import { Button } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { type FormEvent, type RefObject, useState } from "react";
import {
  Checkbox,
  MultiSelect,
  NumberInput,
  SegmentedControl,
  Textarea,
  TextInput,
} from "../../../ui/inputs";
import { sourceListQuery } from "../../sources/api";
import { type Asked, askedOf, defaultTopK, maxTopK } from "../asked";
import { type AskForm, formOf, modes } from "../model";
import classes from "../playground.module.css";

interface Props {
  asked: Asked;
  busy: boolean;
  field: RefObject<HTMLTextAreaElement | null>;
  onAsk: (asked: Asked) => void;
}

interface PartProps {
  form: AskForm;
  change: (part: Partial<AskForm>) => void;
}

function Filters({ form, change }: PartProps) {
  const set =
    (name: "paths" | "languages" | "kinds" | "after" | "before") =>
    (e: { currentTarget: { value: string } }) =>
      change({ [name]: e.currentTarget.value });
  const used = Boolean(form.paths || form.languages || form.kinds || form.after || form.before);
  return (
    <details className={classes.filters} open={used}>
      <summary>Filters</summary>
      <div>
        <TextInput label="Paths" placeholder="docs/**, *.md" value={form.paths} onChange={set("paths")} />
        <TextInput
          label="Languages"
          placeholder="go, python"
          value={form.languages}
          onChange={set("languages")}
        />
        <TextInput label="Kinds" placeholder="markdown, pdf" value={form.kinds} onChange={set("kinds")} />
        <TextInput type="date" label="Changed after" value={form.after} onChange={set("after")} />
        <TextInput type="date" label="Changed before" value={form.before} onChange={set("before")} />
      </div>
    </details>
  );
}

function Options({ form, change }: PartProps) {
  const list = useInfiniteQuery(sourceListQuery({}, 200));
  const sources = list.data?.pages.flatMap((page) => page.items) ?? [];
  const known = new Set(sources.map((s) => s.id));
  const gone = form.sources.filter((id) => !known.has(id));
  return (
    <div className={classes.options}>
      <SegmentedControl
        aria-label="How to search"
        value={form.mode}
        data={modes.map(({ value, label }) => ({ value, label }))}
        onChange={(v) => change({ mode: modes.find((m) => m.value === v)?.value ?? "hybrid" })}
      />
      <MultiSelect
        aria-label="Sources"
        placeholder={form.sources.length > 0 ? "" : "Every source"}
        searchable
        clearable
        className={classes.sources}
        data={[
          ...sources.map((s) => ({ value: String(s.id), label: s.name, disabled: s.index === null })),
          ...gone.map((id) => ({ value: String(id), label: `Source ${id}` })),
        ]}
        value={form.sources.map(String)}
        onChange={(ids) => change({ sources: ids.map(Number) })}
      />
      <NumberInput
        aria-label="Results at most"
        w={100}
        prefix="top "
        min={1}
        max={maxTopK}
        allowDecimal={false}
        value={form.k}
        onChange={(v) => change({ k: Number(v) || defaultTopK })}
      />
      <Checkbox
        label="Rerank"
        checked={form.rerank}
        onChange={(e) => change({ rerank: e.currentTarget.checked })}
      />
      <Checkbox
        label="Write an answer"
        checked={form.answer}
        onChange={(e) => change({ answer: e.currentTarget.checked })}
      />
    </div>
  );
}

/** The question with all that can be chosen; Enter asks, Shift Enter is a new line. */
export function Question({ asked, busy, field, onAsk }: Props) {
  const [form, setForm] = useState(formOf(asked));
  const change = (part: Partial<AskForm>) => setForm((known) => ({ ...known, ...part }));
  const ready = form.q.trim() !== "";
  const ask = () => {
    if (ready) onAsk(askedOf({ ...form, q: form.q.trim() }));
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    ask();
  };
  return (
    <form className={classes.question} onSubmit={submit} aria-label="Question">
      <div className={classes.ask}>
        <Textarea
          ref={field}
          aria-label="Question"
          placeholder="Ask, or write words that stand in a file. Press / to come here."
          autosize
          minRows={1}
          maxRows={6}
          maxLength={4_000}
          value={form.q}
          onChange={(e) => change({ q: e.currentTarget.value })}
          onKeyDown={(e) => {
            if (e.key === "Escape") e.currentTarget.blur();
            if (e.key !== "Enter" || e.shiftKey || e.nativeEvent.isComposing) return;
            e.preventDefault();
            ask();
          }}
        />
        <Button
          type="submit"
          size="sm"
          leftSection={<IconSearch size={15} />}
          loading={busy}
          disabled={!ready}
        >
          Search
        </Button>
      </div>
      <Options form={form} change={change} />
      <Filters form={form} change={change} />
    </form>
  );
}
