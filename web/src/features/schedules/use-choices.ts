import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { flowchartListQuery, flowchartQuery } from "../flowcharts/api";
import type { Choice } from "./components/schedule-dialog";

/** The flowcharts that can be scheduled, with the chosen one among them. */
export function useFlowchartChoices(chosen: number | undefined): Choice[] {
  const list = useInfiniteQuery(flowchartListQuery(""));
  const own = useQuery({ ...flowchartQuery(chosen ?? 0), enabled: chosen !== undefined });
  const choices = new Map(list.data?.pages.flatMap((page) => page.items).map((f) => [String(f.id), f.name]));
  if (own.data) choices.set(String(own.data.id), own.data.name);
  return [...choices].map(([value, label]) => ({ value, label }));
}
