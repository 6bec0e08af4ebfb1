import { Button } from "@mantine/core";
import { IconAlertTriangle, IconPlug, IconPlus } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import type { McpServer } from "../../../api/aliases";
import { Empty, ErrorNotice, Lines } from "../../../ui/feedback";
import { notifyError } from "../../../ui/notices";
import { mcpKeys, mcpServersQuery, testServer } from "../api";
import classes from "./mcp.module.css";
import { ServerTable } from "./server-table";

const ServerDialog = lazy(async () => ({ default: (await import("./server-dialog")).ServerDialog }));

function useTests() {
  const cache = useQueryClient();
  const [testing, setTesting] = useState<ReadonlySet<number>>(new Set());
  const { mutate } = useMutation({
    mutationFn: (server: McpServer) => testServer(server.id),
    onError: (e, server) => notifyError(`${server.name} was not tested`, e),
    onSettled: (_, __, server) => {
      setTesting((now) => new Set([...now].filter((id) => id !== server.id)));
      return cache.invalidateQueries({ queryKey: mcpKeys.servers });
    },
  });
  const test = (server: McpServer) => {
    setTesting((now) => new Set([...now, server.id]));
    mutate(server);
  };
  return { testing, test };
}

/** Where a sign-in at an authorization server led back to. */
export function OAuthOutcome({ error }: { error: string }) {
  return (
    <div className={classes.warning} role="alert">
      <IconAlertTriangle size={16} aria-hidden />
      <div>The authorization was not completed: {error}</div>
    </div>
  );
}

export function AddServer({ onAdd }: { onAdd: () => void }) {
  return (
    <Button leftSection={<IconPlus size={15} />} onClick={onAdd}>
      Add server
    </Button>
  );
}

interface Props {
  manages: boolean;
  adding: boolean;
  onAdd: (open: boolean) => void;
  onOpen: (id: number) => void;
}

/** All MCP servers, and a new one. */
export function Servers({ manages, adding, onAdd, onOpen }: Props) {
  const servers = useQuery(mcpServersQuery);
  const { testing, test } = useTests();
  return (
    <>
      {adding && manages && (
        <Suspense>
          <ServerDialog server={null} onClose={() => onAdd(false)} onSaved={(saved) => onOpen(saved.id)} />
        </Suspense>
      )}
      {servers.isError && <ErrorNotice error={servers.error} onRetry={() => void servers.refetch()} />}
      {servers.isPending && <Lines n={5} />}
      {servers.data?.length === 0 && (
        <Empty
          icon={IconPlug}
          title="No MCP servers yet"
          action={manages && <AddServer onAdd={() => onAdd(true)} />}
        >
          Servers of the Model Context Protocol give models tools: files, tickets, databases. Add one, test
          it, then choose it for a thread or a task node.
        </Empty>
      )}
      {servers.data && servers.data.length > 0 && (
        <ServerTable servers={servers.data} testing={testing} onTest={manages ? test : null} />
      )}
    </>
  );
}
