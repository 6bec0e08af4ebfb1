import "./mantine-inputs.css";
import "./mantine-dialogs.css";
import "@mantine/spotlight/styles.css";
import {
  Spotlight,
  type SpotlightActionData,
  type SpotlightActionGroupData,
  spotlight,
} from "@mantine/spotlight";
import {
  IconActivity,
  IconBooks,
  IconPlus,
  IconSchema,
  IconSearch,
  IconZoomQuestion,
} from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useMemo, useState } from "react";
import { flowchartListQuery } from "../features/flowcharts/api";
import { sourceListQuery } from "../features/sources/api";
import { kindLabels } from "../features/sources/model";
import { navigation } from "./navigation";

/** Ctrl-K: go anywhere by name. Opens each time that it is asked again. */
export function CommandPalette({ asked }: { asked: number }) {
  const navigate = useNavigate();
  const [query, setQuery] = useState("");
  const [opened, setOpened] = useState(false);
  const flowcharts = useInfiniteQuery({ ...flowchartListQuery(query.trim()), enabled: opened });
  const named = query.trim();
  const sources = useInfiniteQuery({ ...sourceListQuery(named ? { q: named } : {}, 8), enabled: opened });

  useEffect(() => {
    if (asked > 0) spotlight.open();
  }, [asked]);

  const actions = useMemo((): SpotlightActionGroupData[] => {
    const pages: SpotlightActionData[] = navigation.map((entry) => ({
      id: entry.to,
      label: entry.label,
      leftSection: <entry.icon size={18} stroke={1.7} />,
      onClick: () => void navigate({ to: entry.to }),
    }));
    pages.push(
      {
        id: "playground",
        label: "Playground",
        description: "Ask the sources, with all ranks",
        leftSection: <IconZoomQuestion size={18} stroke={1.7} />,
        onClick: () => void navigate({ to: "/playground" }),
      },
      {
        id: "new-source",
        label: "Add a source",
        leftSection: <IconPlus size={18} stroke={1.7} />,
        onClick: () => void navigate({ to: "/sources/new" }),
      },
    );
    const places: SpotlightActionData[] = (sources.data?.pages[0]?.items ?? []).map((s) => ({
      id: `source-${s.id}`,
      label: s.name,
      description: kindLabels[s.kind],
      leftSection: <IconBooks size={18} stroke={1.7} />,
      onClick: () => void navigate({ to: "/sources/$sourceId", params: { sourceId: String(s.id) } }),
    }));
    const found: SpotlightActionData[] = (flowcharts.data?.pages[0]?.items ?? []).slice(0, 8).map((f) => ({
      id: `flowchart-${f.id}`,
      label: f.name,
      description: f.description || `Version ${f.version}`,
      leftSection: <IconSchema size={18} stroke={1.7} />,
      onClick: () => void navigate({ to: "/flowcharts/$flowchartId", params: { flowchartId: String(f.id) } }),
    }));
    const number = /^#?(\d{1,12})$/.exec(query.trim())?.[1];
    const run: SpotlightActionData[] = number
      ? [
          {
            id: `run-${number}`,
            label: `Open run ${number}`,
            keywords: [query],
            leftSection: <IconActivity size={18} stroke={1.7} />,
            onClick: () => void navigate({ to: "/runs/$runId", params: { runId: number } }),
          },
        ]
      : [];
    return [
      { group: "Runs", actions: run },
      { group: "Pages", actions: pages },
      { group: "Flowcharts", actions: found },
      { group: "Sources", actions: places },
    ];
  }, [navigate, flowcharts.data, sources.data, query]);

  return (
    <Spotlight
      actions={actions}
      query={query}
      onQueryChange={setQuery}
      onSpotlightOpen={() => setOpened(true)}
      onSpotlightClose={() => setOpened(false)}
      shortcut={null}
      overlayProps={{ backgroundOpacity: 0.5, blur: 0 }}
      limit={20}
      scrollable
      maxHeight={420}
      nothingFound="Nothing has that name. Try a part of it, or a run's number."
      searchProps={{
        leftSection: <IconSearch size={18} />,
        placeholder: "Go to a page, a flowchart, a source or a run number",
        "aria-label": "Search",
      }}
    />
  );
}
