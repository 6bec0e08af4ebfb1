import { Button } from "@mantine/core";
import { IconPencil, IconPlayerPlay, IconTrash } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import type { McpServer } from "../../../api/aliases";
import { notifyError } from "../../../ui/notices";
import { deleteServer, mcpKeys, testServer } from "../api";

// Opened rarely.
const Confirm = lazy(async () => ({ default: (await import("../../../ui/confirm")).Confirm }));
const ServerDialog = lazy(async () => ({ default: (await import("./server-dialog")).ServerDialog }));

export function ServerActions({ server, onGone }: { server: McpServer; onGone: () => void }) {
  const cache = useQueryClient();
  const [open, setOpen] = useState<"edit" | "delete" | null>(null);
  const refresh = () => cache.invalidateQueries({ queryKey: mcpKeys.servers });
  const test = useMutation({
    mutationFn: () => testServer(server.id),
    onError: (e) => notifyError(`${server.name} was not tested`, e),
    onSettled: refresh,
  });
  return (
    <>
      <Button
        leftSection={<IconPlayerPlay size={15} />}
        loading={test.isPending}
        onClick={() => test.mutate()}
      >
        Test
      </Button>
      <Button variant="default" leftSection={<IconPencil size={15} />} onClick={() => setOpen("edit")}>
        Change
      </Button>
      {server.server_type === "custom" && (
        <Button variant="default" leftSection={<IconTrash size={15} />} onClick={() => setOpen("delete")}>
          Delete
        </Button>
      )}
      <Suspense>
        {open === "edit" && (
          <ServerDialog server={server} onClose={() => setOpen(null)} onSaved={() => setOpen(null)} />
        )}
        {open === "delete" && (
          <Confirm
            title={`Delete ${server.name}`}
            action="Delete server"
            onClose={() => setOpen(null)}
            run={async () => {
              await deleteServer(server.id);
              onGone();
              await refresh();
            }}
          >
            “{server.name}” and its secrets are deleted. Threads and task nodes that use it go on without its
            tools. This cannot be undone.
          </Confirm>
        )}
      </Suspense>
    </>
  );
}
