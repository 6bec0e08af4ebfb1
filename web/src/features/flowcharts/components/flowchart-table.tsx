import { ActionIcon, Tooltip } from "@mantine/core";
import { IconCopy, IconTrash } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Flowchart } from "../../../api/aliases";
import { notifyError, notifyUndo } from "../../../ui/notices";
import { Status } from "../../../ui/status";
import table from "../../../ui/table.module.css";
import { Ago } from "../../../ui/time";
import { deleteFlowchart, duplicateFlowchart, flowchartKeys, restoreFlowchart } from "../api";

function useRowActions() {
  const cache = useQueryClient();
  const refresh = () => cache.invalidateQueries({ queryKey: flowchartKeys.lists });
  const restore = useMutation({
    mutationFn: restoreFlowchart,
    onError: (e) => notifyError("The flowchart was not restored", e),
    onSettled: refresh,
  });
  const remove = useMutation({
    mutationFn: (f: Flowchart) => deleteFlowchart(f.id),
    onSuccess: (_, f) => notifyUndo(`“${f.name}” was deleted.`, () => restore.mutate(f.id)),
    onError: (e) => notifyError("The flowchart was not deleted", e),
    onSettled: refresh,
  });
  const copy = useMutation({
    mutationFn: (f: Flowchart) => duplicateFlowchart(f.id),
    onError: (e) => notifyError("The flowchart was not duplicated", e),
    onSettled: refresh,
  });
  return { remove, copy };
}

export function FlowchartTable({ items }: { items: Flowchart[] }) {
  const { remove, copy } = useRowActions();
  const gone = remove.isPending ? remove.variables.id : null;
  return (
    <table className={table.table}>
      <thead>
        <tr>
          <th>Name</th>
          <th>Last run</th>
          <th className={table.number}>Nodes</th>
          <th className={table.number}>Version</th>
          <th>Changed</th>
          <th aria-label="Actions" />
        </tr>
      </thead>
      <tbody>
        {items
          .filter((f) => f.id !== gone)
          .map((f) => (
            <tr key={f.id} className={table.row}>
              <td className={table.clip}>
                <Link
                  className={table.link}
                  to="/flowcharts/$flowchartId"
                  params={{ flowchartId: String(f.id) }}
                >
                  {f.name}
                </Link>
                {f.description && <div className={table.sub}>{f.description}</div>}
              </td>
              <td className={table.muted}>
                {f.last_run ? (
                  <Link
                    className={table.above}
                    to="/runs/$runId"
                    params={{ runId: String(f.last_run.id) }}
                    style={{ textDecoration: "none" }}
                  >
                    <Status status={f.last_run.status} />
                  </Link>
                ) : (
                  "Never"
                )}
              </td>
              <td className={table.number}>{f.node_count}</td>
              <td className={table.number}>{f.version}</td>
              <td className={table.muted}>
                <Ago at={f.updated_at} />
              </td>
              <td>
                <div className={table.actions}>
                  <Tooltip label="Duplicate">
                    <ActionIcon
                      aria-label={`Duplicate ${f.name}`}
                      onClick={() => copy.mutate(f)}
                      disabled={copy.isPending}
                    >
                      <IconCopy size={16} />
                    </ActionIcon>
                  </Tooltip>
                  <Tooltip label="Delete">
                    <ActionIcon aria-label={`Delete ${f.name}`} onClick={() => remove.mutate(f)}>
                      <IconTrash size={16} />
                    </ActionIcon>
                  </Tooltip>
                </div>
              </td>
            </tr>
          ))}
      </tbody>
    </table>
  );
}
