import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Select, TextInput } from "../../../ui/inputs";
import table from "../../../ui/table.module.css";
import { sourceListQuery } from "../../sources/api";
import { usersQuery } from "../api";
import { origins, type SearchFilter } from "../filter";
import { originLabels, periodFault } from "../model";
import classes from "../searches.module.css";

interface Props {
  filter: SearchFilter;
  onFilter: (filter: SearchFilter) => void;
}

interface Choice {
  value: string;
  label: string;
}

/** One that is not listed keeps its place by its number. */
const withChosen = (data: Choice[], chosen: number | undefined, what: string): Choice[] =>
  chosen === undefined || data.some((c) => c.value === String(chosen))
    ? data
    : [...data, { value: String(chosen), label: `${what} ${chosen}` }];

/** Narrows the list to a source, a person, a way of asking, and days. */
export function SearchFilters({ filter, onFilter }: Props) {
  const users = useQuery(usersQuery);
  const sources = useInfiniteQuery(sourceListQuery({}, 200));
  const set = <K extends keyof SearchFilter>(name: K, value: SearchFilter[K] | null | "" | 0) => {
    const { [name]: _, ...rest } = filter;
    onFilter({ ...rest, ...(value && { [name]: value }) });
  };
  const people = (users.data ?? []).map((u) => ({ value: String(u.id), label: u.email }));
  const places = (sources.data?.pages[0]?.items ?? []).map((s) => ({ value: String(s.id), label: s.name }));
  const fault = periodFault(filter);
  return (
    <div className={table.filters}>
      <Select
        w={150}
        aria-label="Asked by way of"
        placeholder="Every way"
        clearable
        data={origins.map((value) => ({ value, label: originLabels[value] }))}
        value={filter.origin ?? null}
        onChange={(v) => set("origin", origins.find((o) => o === v) ?? null)}
      />
      <Select
        w={190}
        aria-label="Source"
        placeholder="Every source"
        clearable
        searchable
        nothingFoundMessage="No source has that name."
        data={withChosen(places, filter.source, "Source")}
        value={filter.source === undefined ? null : String(filter.source)}
        onChange={(v) => set("source", Number(v))}
      />
      <Select
        w={190}
        aria-label="Who"
        placeholder="Everybody"
        clearable
        searchable
        nothingFoundMessage="Nobody has that address."
        data={withChosen(people, filter.user, "User")}
        value={filter.user === undefined ? null : String(filter.user)}
        onChange={(v) => set("user", Number(v))}
      />
      <TextInput
        type="date"
        w={150}
        aria-label="First day"
        value={filter.from ?? ""}
        error={fault !== null}
        onChange={(e) => set("from", e.currentTarget.value)}
      />
      <span className={classes.to}>to</span>
      <TextInput
        type="date"
        w={150}
        aria-label="Last day"
        value={filter.to ?? ""}
        error={fault !== null}
        onChange={(e) => set("to", e.currentTarget.value)}
      />
      {fault && (
        <span role="alert" className={classes.fault}>
          {fault}
        </span>
      )}
    </div>
  );
}
